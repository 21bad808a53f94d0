#include "src/serve/notify.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket as a service manager has it; @name as in $NOTIFY_SOCKET. */
static int manager(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0, "%s", name);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void expect_heard(int fd, const char *state)
{
    char heard[64] = "";

    cr_expect_gt(recv(fd, heard, sizeof heard - 1, MSG_DONTWAIT), 0, "nothing was sent");
    cr_expect_str_eq(heard, state);
    close(fd);
}

Test(serve_notify, sends_to_a_path)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/tmp/sutra-notify-%d", (int)getpid());
    fd = manager(path);
    notify_manager("READY=1");
    expect_heard(fd, "READY=1");
    unlink(path);
}

Test(serve_notify, sends_to_an_abstract_name)
{
    char name[64];
    int fd;

    snprintf(name, sizeof name, "@sutra-notify-%d", (int)getpid());
    fd = manager(name);
    notify_manager("STOPPING=1");
    expect_heard(fd, "STOPPING=1");
}

static void expect_line(const char *name)
{
    char line[512] = "";
    FILE *err = cr_get_redirected_stderr();

    setenv("NOTIFY_SOCKET", name, 1);
    notify_manager("READY=1");
    fflush(stderr);
    cr_assert_not_null(fgets(line, sizeof line, err), "%.20s", name);
    cr_expect_not_null(strstr(line, "notify_failed"), "%s", line);
}

Test(serve_notify, a_socket_that_cannot_be_reached_is_a_line_in_the_log, .init = cr_redirect_stderr)
{
    static char long_name[200];

    memset(long_name, '/', sizeof long_name - 1);
    expect_line("/nowhere/socket");
    expect_line("relative");
    expect_line("");
    expect_line(long_name);
}
