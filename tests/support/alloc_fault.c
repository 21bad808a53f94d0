#include "tests/support/alloc_fault.h"

#include <stddef.h>

/* Made by the linker's --wrap. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t length);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t length);

static int countdown; /* 0: nothing planned */
static bool happened;

void alloc_fault_at(int n)
{
    countdown = n;
    happened = false;
}

bool alloc_fault_clear(void)
{
    countdown = 0;
    return happened;
}

static bool fails_now(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    happened = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *s)
{
    return fails_now() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t length)
{
    return fails_now() ? NULL : __real_strndup(s, length);
}
