#include "src/rpc/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char unix_prefix[] = "unix:";

/* The path of a "unix:" address, NULL for another. */
static const char *socket_path(const char *text)
{
    size_t length = sizeof unix_prefix - 1;

    return strncmp(text, unix_prefix, length) == 0 ? text + length : NULL;
}

static bool is_port(const char *text, long min_port)
{
    char *end;
    long port = strtol(text, &end, 10);

    return end != text && *end == '\0' && port >= min_port && port < 65536;
}

bool rpc_address_valid(const char *text, long min_port)
{
    const char *path = socket_path(text);
    const char *colon = strrchr(text, ':');

    if (path != NULL)
        return path[0] != '\0';
    return colon != NULL && colon != text && is_port(colon + 1, min_port);
}

enum { HOST_SIZE = 64 }; /* what is longer is no number, and not "localhost" */

/* Copies what stands before the port; false if it does not fit. */
static bool host_of(const char *text, char ret[HOST_SIZE])
{
    const char *colon = strrchr(text, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);

    if (length == 0 || length >= HOST_SIZE)
        return false;
    memcpy(ret, text, length);
    ret[length] = '\0';
    return true;
}

static bool is_local(const char *text)
{
    char host[HOST_SIZE];
    struct in_addr address;

    if (socket_path(text) != NULL)
        return true;
    if (!host_of(text, host))
        return false;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool is_ipv4(const char *text)
{
    char host[HOST_SIZE];
    struct in_addr number;

    return host_of(text, host) && inet_pton(AF_INET, host, &number) == 1;
}

static bool is_ipv6(const char *text)
{
    char host[HOST_SIZE];
    struct in6_addr number;
    size_t length;

    if (!host_of(text, host))
        return false;
    length = strlen(host);
    if (length < 2 || host[0] != '[' || host[length - 1] != ']')
        return false;
    host[length - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, &number) == 1;
}

/* Whether all addresses of a list with commas are @such; a socket's path is never taken apart. */
static bool are_all(const char *text, bool (*such)(const char *address))
{
    char *copy, *rest, *address;
    bool yes = true;

    if (socket_path(text) != NULL)
        return such(text);
    copy = rest = strdup(text);
    yes = copy != NULL;
    while (yes && (address = strsep(&rest, ",")) != NULL)
        yes = rpc_address_valid(address, 1) && such(address);
    free(copy);
    return yes;
}

bool rpc_address_is_list(const char *text)
{
    return socket_path(text) == NULL && strchr(text, ',') != NULL;
}

static char *with_scheme(const char *scheme, const char *text)
{
    size_t size = strlen(scheme) + strlen(text) + 1;
    char *target = malloc(size);

    if (target != NULL)
        snprintf(target, size, "%s%s", scheme, text);
    return target;
}

char *rpc_address_target(const char *text)
{
    if (!rpc_address_is_list(text))
        return rpc_address_valid(text, 1) ? strdup(text) : NULL;
    if (are_all(text, is_ipv4))
        return with_scheme("ipv4:", text);
    return are_all(text, is_ipv6) ? with_scheme("ipv6:", text) : NULL;
}

bool rpc_address_is_local(const char *text)
{
    return rpc_address_is_list(text) ? are_all(text, is_local) : is_local(text);
}

bool rpc_address_in_use(const char *text)
{
    const char *path = socket_path(text);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;
    bool answered;

    if (path == NULL || strlen(path) >= sizeof address.sun_path)
        return false; /* for TCP, and for what cannot be bound either, listening itself will tell */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    answered = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return answered;
}
