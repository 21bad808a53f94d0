#ifndef SUTRA_SERVE_OPTIONS_H
#define SUTRA_SERVE_OPTIONS_H

/**
 * The options that all servers have. A server's own configuration holds them as a member named
 * `serve`, and its table of options begins with SERVE_OPTIONS().
 */

#include "src/config/config.h"

struct serve_options {
    const char *listen;
    uint64_t grace_ms;
};

/* clang-format off */
#define SERVE_OPTIONS(config_, listen_)                                                            \
    CONFIG_OPTION(config_, serve.listen, "listen", CONFIG_STRING, listen_, 0, 0,                   \
                  "host:port (port 0: any free one) or unix:/path"),                               \
    CONFIG_OPTION(config_, serve.grace_ms, "grace-ms", CONFIG_UINT, "5000", 0, 600000,             \
                  "how long running calls may go on after SIGTERM")
/* clang-format on */

#endif
