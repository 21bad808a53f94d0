#include "src/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"

enum { BLOCK_BYTES = 16 * 1024, BIG_ALIGN = 64, SMALL_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    size_t used;
    unsigned char data[];
};

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){ .limit_bytes = limit_bytes };
}

static void free_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_deinit(struct arena *arena)
{
    free_blocks(arena->blocks);
    *arena = (struct arena){ 0 };
}

void arena_reset(struct arena *arena)
{
    if (arena->blocks != NULL) {
        free_blocks(arena->blocks->next);
        arena->blocks->next = NULL;
        arena->blocks->used = 0;
    }
    arena->used_bytes = 0;
}

static struct arena_block *add_block(struct arena *arena, size_t at_least)
{
    size_t size = size_max(at_least, BLOCK_BYTES);
    struct arena_block *block = malloc(sizeof *block + size);

    if (block == NULL)
        return NULL;
    block->next = arena->blocks;
    block->size = size;
    block->used = 0;
    arena->blocks = block;
    return block;
}

/* Offset of the first byte at or behind block->used whose address is aligned. */
static size_t aligned_offset(const struct arena_block *block, size_t align)
{
    uintptr_t address = (uintptr_t)(block->data + block->used);
    return block->used + (size_t)(-address & (align - 1));
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t align = size >= BIG_ALIGN ? BIG_ALIGN : SMALL_ALIGN;
    struct arena_block *block = arena->blocks;
    size_t room;
    size_t offset;

    if (!size_add(size, align, &room) || room > arena->limit_bytes ||
        arena->used_bytes > arena->limit_bytes - room)
        return NULL;
    if (block == NULL || block->size - block->used < room)
        block = add_block(arena, room);
    if (block == NULL)
        return NULL;
    offset = aligned_offset(block, align);
    arena->used_bytes += offset + size - block->used;
    block->used = offset + size;
    return block->data + offset;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    void *p;

    if (!size_mul(count, size, &total))
        return NULL;
    p = arena_alloc(arena, total);
    if (p != NULL)
        memset(p, 0, total);
    return p;
}

void *arena_copy(struct arena *arena, const void *data, size_t size)
{
    void *p = arena_alloc(arena, size);
    if (p != NULL && size > 0)
        memcpy(p, data, size);
    return p;
}

char *arena_strndup(struct arena *arena, const char *s, size_t length)
{
    char *p = arena_alloc(arena, length + 1);
    if (p == NULL)
        return NULL;
    if (length > 0)
        memcpy(p, s, length);
    p[length] = '\0';
    return p;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list args;
    int length;
    char *p;

    va_start(args, fmt);
    length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (length < 0)
        return NULL;
    p = arena_alloc(arena, (size_t)length + 1);
    if (p == NULL)
        return NULL;
    va_start(args, fmt);
    vsnprintf(p, (size_t)length + 1, fmt, args);
    va_end(args);
    return p;
}
