#include "src/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Up to @size bytes, fewer only at the end; -1 and errno. */
static ssize_t read_fully(int fd, char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = read(fd, data + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* One byte more than the limit is asked for, to see whether there is one. */
static enum status_code read_limited(int fd, size_t limit, struct file_text *text,
                                     struct status *st)
{
    ssize_t got;

    text->data = malloc(limit + 2);
    if (text->data == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    text->size = limit + 1; /* what is to be overwritten if this fails */
    memset(text->data, 0, limit + 2);
    got = read_fully(fd, text->data, limit + 1);
    if (got < 0)
        return status_set_errno(st, errno, "read");
    if ((size_t)got > limit)
        return status_set(st, STATUS_INVALID_ARGUMENT, "has more than %zu bytes", limit);
    text->size = (size_t)got;
    return STATUS_OK;
}

enum status_code file_read(const char *path, size_t limit_bytes, struct file_text *ret,
                           struct stat *ret_stat, struct status *st)
{
    struct file_text text = { 0 };
    struct stat ignored;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return status_set_errno(st, errno, "open");
    if (fstat(fd, ret_stat != NULL ? ret_stat : &ignored) != 0)
        status_set_errno(st, errno, "stat");
    else if (read_limited(fd, limit_bytes, &text, st) == STATUS_OK)
        *ret = text;
    close(fd);
    if (st->code != STATUS_OK)
        file_text_deinit(&text);
    return st->code;
}

void file_text_deinit(struct file_text *text)
{
    if (text->data != NULL)
        explicit_bzero(text->data, text->size);
    free(text->data);
    *text = (struct file_text){ 0 };
}
