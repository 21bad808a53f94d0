#include "src/rpc/address.h"

#include <criterion/criterion.h>

Test(rpc_address, loopback_and_sockets_are_local)
{
    static const char *const local[] = { "127.0.0.1:1", "127.255.0.9:7400", "localhost:7400",
                                         "[::1]:7400",  "unix:/tmp/x",      "unix:relative" };
    static const char *const away[] = { "0.0.0.0:7400",
                                        "[::]:7400",
                                        "[::2]:7400",
                                        "128.0.0.1:7400",
                                        "127.0.0.1.example:7400",
                                        "localhost.example:7400",
                                        "10.0.0.1:7400",
                                        "127.1:7400",
                                        "0x7f000001:7400",
                                        "::1:7400",
                                        "dns:localhost:7400",
                                        "example:7400",
                                        "127.0.0.1",
                                        ":7400",
                                        "" };

    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        cr_expect(rpc_address_is_local(local[i]), "%s", local[i]);
    for (size_t i = 0; i < sizeof away / sizeof away[0]; i++)
        cr_expect_not(rpc_address_is_local(away[i]), "%s", away[i]);
}
