/*
 * Every fuzz target, over its corpus (tests/fuzz/corpus/<name>/), its made seeds, and random
 * mutations of both: the same ones in every run. $SUTRA_FUZZ_SEED gives others, $SUTRA_FUZZ_CASES
 * more of them. A crash prints seed and case, and leaves the input in the folder of temporary
 * files.
 */

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

/* Some seconds in all, under the sanitizers. */
enum { CASES = 20000, MAX_CHANGES = 4, MAX_SEEDS = 64, MAX_GROWTH = 64 };

struct corpus {
    struct buf seeds[MAX_SEEDS];
    size_t count;
};

/* The case that runs, for the one who reports a crash. */
static struct {
    const char *name;
    unsigned long long seed;
    size_t number;
    const uint8_t *data;
    size_t size;
} running;

/* ---- Crashes ---- */

static void report(void)
{
    static char line[256];
    char path[128];
    int file;

    snprintf(path, sizeof path, "/tmp/sutra-fuzz-%s-%llu-%zu", running.name, running.seed,
             running.number);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, running.data, running.size) != (ssize_t)running.size)
        path[0] = '\0';
    int length =
        snprintf(line, sizeof line, "fuzz %s: seed %llu, case %zu, %zu bytes, kept as '%s'\n",
                 running.name, running.seed, running.number, running.size, path);
    (void)!write(STDERR_FILENO, line, (size_t)length);
}

static void on_signal(int number)
{
    signal(number, SIG_DFL);
    report();
    raise(number);
}

/* The sanitizers print what they found and end with a signal too. */
const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}

const char *__ubsan_default_options(void)
{
    return "abort_on_error=1";
}

static void report_crashes(void)
{
    signal(SIGABRT, on_signal);
#ifndef __SANITIZE_ADDRESS__ /* it explains these better */
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    signal(SIGFPE, on_signal);
#endif
}

/* ---- Seeds ---- */

static void read_file(const char *path, struct buf *to)
{
    FILE *file = fopen(path, "rb");
    uint8_t bytes[4096];
    size_t n;

    cr_assert_not_null(file, "%s", path);
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_append(to, bytes, n);
    fclose(file);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The files of the folder in the order of their names; none where there is no folder. */
static void read_folder(const char *name, struct corpus *corpus)
{
    char folder[256];
    char path[600];
    struct dirent **entries;
    int n;

    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    n = scandir(folder, &entries, NULL, by_name);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            cr_assert_lt(corpus->count, MAX_SEEDS);
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            read_file(path, &corpus->seeds[corpus->count++]);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

static void make_seeds(fuzz_seed_fn *make, struct corpus *corpus)
{
    for (size_t n = 0; make(n, &corpus->seeds[corpus->count]); n++) {
        cr_assert_not(corpus->seeds[corpus->count].failed);
        corpus->count++;
        cr_assert_lt(corpus->count, MAX_SEEDS);
    }
}

/* ---- Mutations ---- */

static uint64_t state;

static uint64_t random_u64(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static size_t below(size_t bound)
{
    return bound == 0 ? 0 : (size_t)(random_u64() % bound);
}

/* Half of the places are near the start, where headers are, or near the end. */
static size_t place(const struct buf *buf)
{
    size_t near = buf->size < 160 ? buf->size : 160;

    switch (below(4)) {
    case 0:
        return below(near);
    case 1:
        return buf->size == 0 ? 0 : buf->size - 1 - below(near);
    default:
        return below(buf->size);
    }
}

static void change_byte(struct buf *buf)
{
    static const uint8_t telling[] = { 0, 1, 0x7F, 0x80, 0xFF, 0x0A, '"', '0', '-', '=' };
    size_t at = place(buf);

    if (buf->size == 0)
        return;
    if (random_u64() % 2 == 0)
        buf->data[at] ^= (uint8_t)(1u << below(8));
    else
        buf->data[at] = telling[below(sizeof telling)];
}

/* A number of 1, 2, 4 or 8 bytes that is at the edge of something. */
static void change_number(struct buf *buf)
{
    static const uint64_t edges[] = {
        0, 1, 255, 256, 4095, 4096, INT32_MAX, UINT32_MAX, 1ULL << 32, INT64_MAX, UINT64_MAX,
    };
    uint64_t value = edges[below(sizeof edges / sizeof edges[0])] + below(3) - 1;
    size_t width = (size_t)1 << below(4);
    size_t at = place(buf);

    if (at + width <= buf->size)
        memcpy(buf->data + at, &value, width);
}

static void remove_some(struct buf *buf)
{
    size_t at = place(buf);
    size_t n = below(buf->size - at) % MAX_GROWTH + 1;

    if (buf->size == 0)
        return;
    n = n > buf->size - at ? buf->size - at : n;
    memmove(buf->data + at, buf->data + at + n, buf->size - at - n);
    buf->size -= n;
}

static void insert(struct buf *buf, const uint8_t *data, size_t n)
{
    size_t at = place(buf);
    size_t behind = buf->size - at;

    if (n == 0)
        return;
    buf_extend(buf, n);
    memmove(buf->data + at + n, buf->data + at, behind);
    memcpy(buf->data + at, data, n);
}

/* A piece of a seed, this one or another. */
static void insert_some(struct buf *buf, const struct corpus *corpus)
{
    const struct buf *from = &corpus->seeds[below(corpus->count)];
    size_t at = below(from->size);

    if (from->size > 0)
        insert(buf, from->data + at, below(from->size - at) % MAX_GROWTH + 1);
}

static void cut(struct buf *buf)
{
    buf->size = below(buf->size + 1);
}

static void mutate(struct buf *buf, const struct corpus *corpus)
{
    for (size_t changes = 1 + below(MAX_CHANGES); changes > 0; changes--) {
        switch (below(12)) {
        case 0:
            cut(buf);
            break;
        case 1:
        case 2:
            remove_some(buf);
            break;
        case 3:
        case 4:
            insert_some(buf, corpus);
            break;
        case 5:
        case 6:
            change_number(buf);
            break;
        default:
            change_byte(buf);
        }
    }
}

/* ---- Running ---- */

/* In memory of exactly its size, so that the address sanitizer sees the first byte too many. */
static void run(fuzz_fn *target, const struct buf *input, size_t number)
{
    uint8_t *exact = malloc(input->size);

    if (input->size > 0)
        memcpy(exact, input->data, input->size);
    running.number = number;
    running.data = exact;
    running.size = input->size;
    cr_assert_eq(target(exact, input->size), 0);
    free(exact);
}

static unsigned long long from_environment(const char *name, unsigned long long otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* Case 0, 1, … are the seeds themselves. */
static void replay(const char *name, fuzz_fn *target, fuzz_seed_fn *make, size_t cases)
{
    static struct corpus corpus;
    struct buf input = { 0 };

    running.name = name;
    running.seed = from_environment("SUTRA_FUZZ_SEED", 1);
    state = running.seed;
    report_crashes();
    read_folder(name, &corpus);
    if (make != NULL)
        make_seeds(make, &corpus);
    cr_assert_gt(corpus.count, 0, "%s has seeds", name);
    for (size_t i = 0; i < corpus.count; i++)
        run(target, &corpus.seeds[i], i);
    cases = from_environment("SUTRA_FUZZ_CASES", cases);
    for (size_t i = 0; i < cases; i++) {
        const struct buf *seed = &corpus.seeds[below(corpus.count)];
        buf_reset(&input);
        buf_append(&input, seed->data, seed->size);
        mutate(&input, &corpus);
        run(target, &input, corpus.count + i);
    }
    buf_deinit(&input);
    for (size_t i = 0; i < corpus.count; i++)
        buf_deinit(&corpus.seeds[i]);
}

Test(fuzz, requests)
{
    replay("request", fuzz_request, fuzz_request_seed, CASES);
}

/* 87 KB each. */
Test(fuzz, codebooks)
{
    replay("codebook", fuzz_codebook, fuzz_codebook_seed, CASES / 4);
}

Test(fuzz, calibrations)
{
    replay("calibration", fuzz_calibration, fuzz_calibration_seed, CASES);
}

Test(fuzz, segments)
{
    replay("segment", fuzz_segment, fuzz_segment_seed, CASES / 2);
}

Test(fuzz, stored_concepts)
{
    replay("concept", fuzz_concept, fuzz_concept_seed, CASES);
}

Test(fuzz, topologies)
{
    replay("topology", fuzz_topology, NULL, CASES);
}

Test(fuzz, configurations)
{
    replay("config", fuzz_config, NULL, CASES);
}

Test(fuzz, tokens)
{
    replay("tokens", fuzz_tokens, NULL, CASES);
}

Test(fuzz, vocabularies)
{
    replay("vocabulary", fuzz_vocabulary, NULL, CASES);
}

Test(fuzz, texts)
{
    replay("text", fuzz_text, NULL, CASES);
}

Test(fuzz, wire)
{
    replay("wire", fuzz_wire, fuzz_wire_seed, CASES);
}

Test(fuzz, write)
{
    replay("write", fuzz_write, fuzz_write_seed, CASES);
}

Test(fuzz, batch_get)
{
    replay("batch_get", fuzz_batch_get, fuzz_batch_get_seed, CASES);
}

Test(fuzz, distance)
{
    replay("distance", fuzz_distance, fuzz_distance_seed, CASES);
}

Test(fuzz, candidates)
{
    replay("candidates", fuzz_candidates, fuzz_candidates_seed, CASES);
}

Test(fuzz, columns)
{
    replay("columns", fuzz_columns, fuzz_columns_seed, CASES);
}
