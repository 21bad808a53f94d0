#include "src/metrics/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS = 32,
    SILENCE_SECONDS = 10,
    HEADER_BYTES = 16 * 1024, /* of a connection, for what it asks and is answered */
    BACKLOG = 16,
    HOST_SIZE = 256,
    ADDRESS_SIZE = HOST_SIZE + 16,
};

static const char ABOUT[] = "Sutra's metrics, for Prometheus: GET /metrics\n";
static const char NOT_HERE[] = "There is only /metrics here.\n";
static const char NOT_SO[] = "Only GET and HEAD are answered.\n";
static const char PLAIN[] = "text/plain; charset=utf-8";

struct metrics_server {
    const struct metrics *metrics;
    struct MHD_Daemon *daemon;
    char address[ADDRESS_SIZE];
};

/* ---- Answering --------------------------------------------------------------------------- */

/* Destroys @response (NULL: there was no memory for it, and the connection is closed). */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              struct MHD_Response *response)
{
    enum MHD_Result queued;

    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
    return answer(connection, status, PLAIN,
                  MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                  MHD_RESPMEM_PERSISTENT));
}

/* Prometheus names OpenMetrics among what it takes, and prefers it. */
static enum metrics_format choose_format(struct MHD_Connection *connection)
{
    const char *accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);

    return accept != NULL && strstr(accept, "application/openmetrics-text") != NULL
               ? METRICS_OPENMETRICS
               : METRICS_TEXT;
}

static enum MHD_Result answer_page(struct MHD_Connection *connection, const struct metrics *metrics)
{
    static const char *const types[] = {
        [METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    enum metrics_format format = choose_format(connection);
    struct buf page = { 0 };

    metrics_render(metrics, format, &page);
    if (page.failed) {
        buf_deinit(&page);
        return MHD_NO;
    }
    return answer(connection, MHD_HTTP_OK, types[format],
                  MHD_create_response_from_buffer(page.size, page.data, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    const struct metrics_server *server = ctx;

    (void)version;
    (void)upload;
    (void)upload_size;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, NOT_SO);
    if (strcmp(url, "/metrics") == 0)
        return answer_page(connection, server->metrics);
    if (strcmp(url, "/") == 0)
        return answer_text(connection, MHD_HTTP_OK, ABOUT);
    return answer_text(connection, MHD_HTTP_NOT_FOUND, NOT_HERE);
}

/* ---- Listening --------------------------------------------------------------------------- */

/* "[::1]:9464" into "::1" and "9464"; the host may be empty: every address of the machine. */
static bool split(const char *address, char host[HOST_SIZE], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t length;
    char *end;

    if (colon == NULL || strncmp(address, "unix:", 5) == 0)
        return false;
    length = (size_t)(colon - address);
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length >= HOST_SIZE || colon[1] < '0' || colon[1] > '9' ||
        strtoul(colon + 1, &end, 10) > 65535 || *end != '\0')
        return false;
    memcpy(host, address, length);
    host[length] = '\0';
    *ret_port = colon + 1;
    return true;
}

static int open_socket(const struct addrinfo *info)
{
    int on = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    info->ai_protocol);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

/* The first of the host's addresses that can be listened on; -1. */
static int listen_on(const char *address, struct status *st)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found;
    char host[HOST_SIZE];
    const char *port;
    int fd = -1;
    int error;

    if (!split(address, host, &port)) {
        status_set(st, STATUS_INVALID_ARGUMENT, "metrics: '%s' is not host:port", address);
        return -1;
    }
    error = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (error != 0) {
        status_set(st, STATUS_UNAVAILABLE, "metrics: '%s': %s", address, gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next)
        fd = open_socket(info);
    if (fd < 0)
        status_set(st, STATUS_UNAVAILABLE, "metrics: cannot listen on '%s': %s", address,
                   strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static void describe(struct metrics_server *server, int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char host[HOST_SIZE];
    char port[16];

    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0 ||
        getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(server->address, sizeof server->address,
             bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

enum status_code metrics_server_start(const char *address, const struct metrics *metrics,
                                      struct metrics_server **ret, struct status *st)
{
    struct metrics_server *server;
    int fd = listen_on(address, st);

    if (fd < 0)
        return st->code;
    server = calloc(1, sizeof *server);
    if (server != NULL) {
        server->metrics = metrics;
        describe(server, fd);
        server->daemon = MHD_start_daemon(
            MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, on_request, server,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_SECONDS,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_END);
    }
    if (server == NULL || server->daemon == NULL) {
        close(fd);
        free(server);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "metrics: no memory or thread to serve");
    }
    *ret = server;
    return STATUS_OK;
}

const char *metrics_server_address(const struct metrics_server *server)
{
    return server->address;
}

void metrics_server_stop(struct metrics_server *server)
{
    if (server == NULL)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
