#include "src/serve/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/log/log.h"

/* The length of the address; 0 for a name that cannot be one. */
static socklen_t fill_address(const char *name, struct sockaddr_un *ret)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length >= sizeof ret->sun_path)
        return 0;
    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    memcpy(ret->sun_path, name, length);
    if (name[0] == '@')
        ret->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* 0 or an errno. */
static int send_to(const char *name, const char *state)
{
    struct sockaddr_un address;
    socklen_t length = fill_address(name, &address);
    int fd;
    int error = 0;

    if (length == 0)
        return EINVAL;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length) < 0)
        error = errno;
    close(fd);
    return error;
}

void notify_manager(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int error = name == NULL ? 0 : send_to(name, state);

    if (error != 0)
        log_line(LOG_WARN, "notify_failed", LOG_TEXT("socket", name),
                 LOG_TEXT("message", strerror(error)));
}
