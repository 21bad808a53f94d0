/* Random bytes in place of text and of files: never a crash, always an answer in range. */

#include "src/embed/safetensors.h"
#include "src/embed/tokenizer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 256, MAX_TEXT = 2000, TEXTS = 20000, FILES = 2000 };

static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nb\n##b\né\n漢\n,\n";

static unsigned seed(void)
{
    const char *given = getenv("SEED");

    return given != NULL ? (unsigned)strtoul(given, NULL, 10) : 20261123;
}

static const char *write_file(const void *content, size_t size)
{
    static char path[4096];
    const char *dir = getenv("TEST_TMPDIR");

    snprintf(path, sizeof path, "%s/property.XXXXXX", dir != NULL ? dir : "/tmp");
    FILE *file = fdopen(mkstemp(path), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(content, 1, size, file), size);
    fclose(file);
    return path;
}

/* Of pieces that meet in every way: characters of each length, marks, halves of characters. */
static size_t random_text(unsigned *state, char *ret_text)
{
    static const char *const pieces[] = { "a",       "b",        " ",          ",",        "é",
                                          "e\u0301", "漢",       "한",         "\n",       "\xe6",
                                          "\xbc",    "\xf0\x9f", "[MASK]",     "[",        "]",
                                          "\xff",    "\u302e",   "\U0001F600", "aaaaabbb", "\u200b",
                                          "A",       "İ" };
    size_t length = 0, target = (size_t)rand_r(state) % MAX_TEXT;

    while (length + 16 < target) {
        const char *piece = pieces[(size_t)rand_r(state) % (sizeof pieces / sizeof *pieces)];
        memcpy(ret_text + length, piece, strlen(piece));
        length += strlen(piece);
        if (rand_r(state) % 20 == 0)
            ret_text[length++] = (char)rand_r(state);
    }
    return length;
}

/* On the heap at its exact size, so that a sanitizer sees a read beyond the end. */
static void check_text(const struct tokenizer *tokenizer, const char *text, size_t length,
                       size_t max_ids)
{
    char *exact = malloc(length > 0 ? length : 1);
    uint32_t ids[MAX_IDS + 1] = { 0 };

    memcpy(exact, text, length);
    ids[max_ids] = UINT32_MAX;
    size_t n = tokenizer_encode(tokenizer, exact, length, ids, max_ids);
    free(exact);
    cr_assert(n >= 2 && n <= max_ids);
    cr_assert_eq(ids[0], 2);
    cr_assert_eq(ids[n - 1], 3);
    cr_assert_eq(ids[max_ids], UINT32_MAX);
    for (size_t i = 0; i < n; i++)
        cr_assert_lt(ids[i], tokenizer_size(tokenizer));
}

Test(embed_property, any_bytes_are_text)
{
    unsigned state = seed();
    struct tokenizer *tokenizer = NULL;
    struct status st = { 0 };
    static char text[MAX_TEXT];

    fprintf(stderr, "SEED=%u\n", state);
    tokenizer_open(write_file(vocabulary, strlen(vocabulary)), &tokenizer, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    for (int i = 0; i < TEXTS; i++) {
        size_t length = random_text(&state, text);
        check_text(tokenizer, text, length, 2 + (size_t)rand_r(&state) % (MAX_IDS - 1));
    }
    tokenizer_close(tokenizer);
}

/* A good file of one tensor with @n_changes bytes overwritten, cut somewhere at times. */
static size_t damaged_weights(unsigned *state, unsigned char *ret, size_t capacity)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}    ";
    size_t size = 8 + sizeof header - 1 + 24;

    cr_assert_leq(size, capacity);
    memset(ret, 0, capacity);
    ret[0] = sizeof header - 1;
    memcpy(ret + 8, header, sizeof header - 1);
    for (int n = rand_r(state) % 3; n > 0; n--) {
        static const char likely[] = "0123456789[]{},:\"F-e.";
        size_t at = (size_t)rand_r(state) % size;
        ret[at] = rand_r(state) % 2 ? (unsigned char)likely[(size_t)rand_r(state) % 21]
                                    : (unsigned char)rand_r(state);
    }
    return rand_r(state) % 4 == 0 ? (size_t)rand_r(state) % (size + 1) : size;
}

Test(embed_property, a_damaged_weights_file_is_refused_or_read_within_its_bounds)
{
    unsigned state = seed();
    const size_t shape[] = { 2, 3 };
    unsigned char bytes[256];

    fprintf(stderr, "SEED=%u\n", state);
    for (int i = 0; i < FILES; i++) {
        struct safetensors *file = NULL;
        struct status st = { 0 };
        const float *data = NULL;
        size_t size = damaged_weights(&state, bytes, sizeof bytes), mapped;
        const char *path = write_file(bytes, size);
        if (safetensors_open(path, &file, &st) == STATUS_OK &&
            safetensors_f32(file, "a", shape, 2, &data, &st) == STATUS_OK) {
            const uint8_t *map = safetensors_bytes(file, &mapped);
            cr_assert_eq(mapped, size);
            cr_assert((const uint8_t *)data >= map && (const uint8_t *)(data + 6) <= map + mapped);
        }
        safetensors_close(file);
        remove(path);
    }
}
