/*
 * Measures the store with WordNet: synced writes, reads, bytes on disk per concept.
 *
 *     bazel run -c opt //bench:store_bench [-- folder [wordnet]]
 *                                          (default a new folder below /tmp, /usr/share/wordnet)
 *
 * Every synset of WordNet 3.0 is a concept "wn30:n00001740" with its words and gloss as content,
 * every pointer an association. Vectors are Gaussian rows of 4 + 384 bytes and random codes of 48,
 * from a fixed seed: as hard to compress as they get. Rates are of one pass, one thread unless it
 * says otherwise.
 */

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/store/store.h"

enum {
    ROW_BYTES = 4 + 384,
    BATCH = 256,
    GET_BATCH = 1000,
    READS = 1000000,
    THREADS = 4,
    CACHE_BYTES = 256 << 20,
    RECORD_CACHE_BYTES = 128 << 20,
    HOT = 1000,
    LINE_BYTES = 1 << 16,
};

struct corpus {
    struct arena arena;
    struct store_write *items;
    size_t n;
    size_t associations;
};

static void die(const char *what)
{
    fprintf(stderr, "store_bench: %s\n", what);
    exit(1);
}

static void check(const struct status *st)
{
    if (st->code != STATUS_OK)
        die(st->message);
}

/* ---- Randomness --------------------------------------------------------------------------- */

static uint64_t state = 42;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* The largest of 384 normal numbers is about 3.2 deviations off and becomes ±127. */
static uint8_t random_gaussian_byte(void)
{
    double u = ((double)(random_u64() >> 11) + 1) / 9007199254740993.0;
    double v = (double)(random_u64() >> 11) / 9007199254740992.0;
    double x = sqrt(-2 * log(u)) * cos(6.283185307179586 * v) * 40;

    return (uint8_t)(int8_t)(x > 127 ? 127 : x < -127 ? -127 : lrint(x));
}

/* ---- WordNet ------------------------------------------------------------------------------ */

static const struct {
    const char *symbol;
    const char *label;
    uint8_t type;
} relations[] = {
    { "!", "antonym", 1 },
    { "@", "hypernym", 4 },
    { "@i", "instance hypernym", 4 },
    { "~", "hyponym", 4 },
    { "~i", "instance hyponym", 4 },
    { "#m", "member holonym", 5 },
    { "#s", "substance holonym", 5 },
    { "#p", "part holonym", 5 },
    { "%m", "member meronym", 5 },
    { "%s", "substance meronym", 5 },
    { "%p", "part meronym", 5 },
    { "=", "attribute", 1 },
    { "+", "derivationally related form", 1 },
    { "*", "entailment", 2 },
    { ">", "cause", 2 },
    { "^", "also see", 1 },
    { "$", "verb group", 1 },
    { "&", "similar to", 1 },
    { "<", "participle of verb", 1 },
    { "\\", "pertainym", 1 },
    { ";c", "domain topic", 1 },
    { "-c", "member of topic", 1 },
    { ";r", "domain region", 1 },
    { "-r", "member of region", 1 },
    { ";u", "domain usage", 1 },
    { "-u", "member of usage", 1 },
};

static struct text_view text_of(struct arena *arena, const char *s)
{
    size_t length = strlen(s);
    struct text_view view = { arena_copy(arena, s, length), length };

    return view;
}

static struct text_view make_id(struct arena *arena, const char *pos, const char *offset)
{
    char id[64];

    snprintf(id, sizeof id, "wn30:%s%s", strcmp(pos, "s") == 0 ? "a" : pos, offset);
    return text_of(arena, id);
}

static const char *next_word(char **rest)
{
    const char *word = strsep(rest, " ");

    if (word == NULL)
        die("a line of WordNet is too short");
    return word;
}

static struct store_association parse_pointer(struct arena *arena, char **rest)
{
    const char *symbol = next_word(rest);
    const char *offset = next_word(rest);
    const char *pos = next_word(rest);
    const char *words = next_word(rest);
    struct store_association association = { .weight = 1, .confidence = 1, .type = 1 };
    const char *label = "related";
    char full[64];

    for (size_t i = 0; i < sizeof relations / sizeof relations[0]; i++)
        if (strcmp(relations[i].symbol, symbol) == 0) {
            association.type = relations[i].type;
            label = relations[i].label;
        }
    if (strcmp(words, "0000") == 0)
        snprintf(full, sizeof full, "%s", label);
    else
        snprintf(full, sizeof full, "%s %.2s>%.2s", label, words, words + 2);
    association.label = text_of(arena, full);
    association.target = make_id(arena, pos, offset);
    association.created_us = clock_wall_us();
    return association;
}

static void parse_pointers(struct corpus *corpus, struct store_write *item, char **rest)
{
    size_t n = strtoul(next_word(rest), NULL, 10);
    struct store_association *all = arena_calloc(&corpus->arena, n, sizeof *all);

    for (size_t i = 0; i < n; i++)
        all[i] = parse_pointer(&corpus->arena, rest);
    item->associations = all;
    item->association_count = n;
    corpus->associations += n;
}

static void parse_synset(struct corpus *corpus, char *line, const char *category)
{
    struct store_write *item = &corpus->items[corpus->n++];
    char *gloss = strstr(line, "| ");
    const char *offset = next_word(&line);
    char content[LINE_BYTES] = "";
    struct text_view id;
    size_t words;

    next_word(&line);
    id = make_id(&corpus->arena, next_word(&line), offset);
    words = strtoul(next_word(&line), NULL, 16);
    for (size_t i = 0; i < words; i++) {
        snprintf(content + strlen(content), sizeof content - strlen(content), "%s%s",
                 i == 0 ? "" : ", ", next_word(&line));
        next_word(&line);
    }
    snprintf(content + strlen(content), sizeof content - strlen(content), ": %s",
             gloss == NULL ? "" : gloss + 2);
    parse_pointers(corpus, item, &line);
    item->id = concept_id_trusted(id.data, id.length);
    item->concept.content = text_of(&corpus->arena, content);
    item->concept.category = text_of(&corpus->arena, category);
    item->concept.strength = 1;
    item->concept.confidence = 1;
    item->concept.created_us = clock_wall_us();
}

static struct store_vector *make_vector(struct arena *arena)
{
    struct store_vector *vector = arena_calloc(arena, 1, sizeof *vector);
    uint8_t *bytes = arena_alloc(arena, ROW_BYTES + STORE_CODE_BYTES);

    for (size_t i = 0; i < ROW_BYTES + STORE_CODE_BYTES; i++)
        bytes[i] = i < ROW_BYTES ? random_gaussian_byte() : (uint8_t)random_u64();
    *vector = (struct store_vector){ bytes, ROW_BYTES, bytes + ROW_BYTES, 1, NULL };
    return vector;
}

static void read_file(struct corpus *corpus, const char *folder, const char *part)
{
    static char line[LINE_BYTES];
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/data.%s", folder, part);
    file = fopen(path, "r");
    if (file == NULL)
        die("no WordNet there");
    while (fgets(line, sizeof line, file) != NULL)
        if (line[0] != ' ') {
            line[strcspn(line, "\n")] = '\0';
            parse_synset(corpus, line, part);
        }
    fclose(file);
}

static void read_corpus(struct corpus *corpus, const char *folder)
{
    static const char *const parts[] = { "noun", "verb", "adj", "adv" };

    arena_init(&corpus->arena, SIZE_MAX);
    corpus->items = calloc(200000, sizeof *corpus->items);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        read_file(corpus, folder, parts[i]);
    for (size_t i = 0; i < corpus->n; i++)
        corpus->items[i].vector = make_vector(&corpus->arena);
    printf("%zu concepts, %zu associations (%.2f each)\n", corpus->n, corpus->associations,
           (double)corpus->associations / (double)corpus->n);
}

/* ---- Writing ------------------------------------------------------------------------------ */

struct part {
    struct store *store;
    const struct store_write *items;
    size_t n;
};

static void *write_part(void *context)
{
    static _Thread_local struct store_write_result results[BATCH];
    struct part *part = context;
    struct status st = { 0 };

    for (size_t i = 0; i < part->n; i += BATCH) {
        size_t n = part->n - i < BATCH ? part->n - i : BATCH;
        store_write(part->store, part->items + i, n, true, results, &st);
        check(&st);
    }
    return NULL;
}

static double write_all(struct store *store, const struct store_write *items, size_t n,
                        size_t threads)
{
    int64_t start = clock_monotonic_us();
    struct part parts[THREADS];
    pthread_t ids[THREADS];

    for (size_t i = 0; i < threads; i++) {
        size_t first = n * i / threads;
        parts[i] = (struct part){ store, items + first, n * (i + 1) / threads - first };
        if (pthread_create(&ids[i], NULL, write_part, &parts[i]) != 0)
            die("no thread");
    }
    for (size_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return (double)n * 1e6 / (double)(clock_monotonic_us() - start);
}

static struct store *open_in(const char *folder, const char *name)
{
    struct store_options options = { .block_cache_bytes = CACHE_BYTES,
                                     .record_cache_bytes = RECORD_CACHE_BYTES };
    struct store *store = NULL;
    struct status st = { 0 };
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    options.path = path;
    store_open(&options, &store, &st);
    check(&st);
    return store;
}

static void print_disk(struct store *store, const char *when)
{
    struct store_stats stats;
    struct status st = { 0 };

    store_stats(store, &stats, &st);
    check(&st);
    printf("  %-18s %7.1f MB, %6.1f bytes per concept\n", when, (double)stats.disk_bytes / 1e6,
           (double)stats.disk_bytes / (double)stats.concepts);
}

static void compact(struct store *store)
{
    int64_t start = clock_monotonic_us();
    struct status st = { 0 };

    store_compact(store, &st);
    check(&st);
    printf("  compacted in %.1f s\n", (double)(clock_monotonic_us() - start) / 1e6);
}

/* Writes with some of the parts left out, so that the differences tell what takes the space. */
static struct store *write_variant(const struct corpus *corpus, const char *folder,
                                   const char *name, bool vectors, bool associations,
                                   size_t threads)
{
    struct store_write *items = calloc(corpus->n, sizeof *items);
    struct store *store = open_in(folder, name);

    memcpy(items, corpus->items, corpus->n * sizeof *items);
    for (size_t i = 0; i < corpus->n; i++) {
        items[i].vector = vectors ? items[i].vector : NULL;
        items[i].association_count = associations ? items[i].association_count : 0;
    }
    printf("%s:\n", name);
    printf("  %.0f concepts/s written, synced batches of %d, %zu thread%s\n",
           write_all(store, items, corpus->n, threads), BATCH, threads, threads == 1 ? "" : "s");
    print_disk(store, "as written");
    compact(store);
    print_disk(store, "compacted");
    free(items);
    return store;
}

/* ---- Reading ------------------------------------------------------------------------------ */

static const struct concept_id *random_id_below(const struct corpus *corpus, size_t n)
{
    return &corpus->items[random_u64() % n].id;
}

static const struct concept_id *random_id(const struct corpus *corpus)
{
    return random_id_below(corpus, corpus->n);
}

static void print_rate(const char *what, size_t n, int64_t start)
{
    printf("  %-34s %9.0f per second\n", what,
           (double)n * 1e6 / (double)(clock_monotonic_us() - start));
}

static void get_singly(struct store *store, const struct corpus *corpus)
{
    int64_t start = clock_monotonic_us();

    for (size_t i = 0; i < READS; i++) {
        struct store_value value;
        struct status st = { 0 };
        store_get(store, random_id(corpus), &value, &st);
        check(&st);
        store_value_release(&value);
    }
    print_rate("get", READS, start);
}

static void gather(void *context, size_t i, const void *data, size_t size)
{
    (void)i;
    buf_append(context, data, size);
}

/* Of the first @n. */
static void get_in_batches(struct store *store, const struct corpus *corpus, size_t n,
                           const char *what)
{
    int64_t start = clock_monotonic_us();
    struct buf gathered = { 0 };

    for (size_t i = 0; i < READS; i += GET_BATCH) {
        struct concept_id ids[GET_BATCH];
        struct status st = { 0 };
        for (size_t j = 0; j < GET_BATCH; j++)
            ids[j] = *random_id_below(corpus, n);
        buf_reset(&gathered);
        store_get_many(store, ids, GET_BATCH, gather, &gathered, &st);
        check(&st);
    }
    buf_deinit(&gathered);
    print_rate(what, READS, start);
}

static void get_vectors(struct store *store, const struct corpus *corpus, struct arena *arena)
{
    int64_t start = clock_monotonic_us();

    for (size_t i = 0; i < READS; i += GET_BATCH) {
        struct store_vector vectors[GET_BATCH];
        struct concept_id ids[GET_BATCH];
        struct status st = { 0 };
        for (size_t j = 0; j < GET_BATCH; j++)
            ids[j] = *random_id(corpus);
        store_get_vectors(store, ids, GET_BATCH, arena, vectors, &st);
        check(&st);
        arena_reset(arena);
    }
    print_rate("vectors, 1000 at a time", READS, start);
}

static void get_neighbors(struct store *store, const struct corpus *corpus, struct arena *arena)
{
    int64_t start = clock_monotonic_us();

    for (size_t i = 0; i < READS; i++) {
        struct store_neighbors_query query = { *random_id(corpus), STORE_OUT, 0, 100, { 0 } };
        struct store_neighbors answer;
        struct status st = { 0 };
        store_neighbors(store, &query, arena, &answer, &st);
        check(&st);
        arena_reset(arena);
    }
    print_rate("neighbors", READS, start);
}

static bool count_vector(void *context, const struct concept_id *id,
                         const struct store_vector *vector)
{
    size_t *count = context;

    (void)id;
    (void)vector;
    ++*count;
    return true;
}

static void scan(struct store *store)
{
    int64_t start = clock_monotonic_us();
    struct status st = { 0 };
    size_t count = 0;

    store_scan_vectors(store, count_vector, &count, &st);
    check(&st);
    print_rate("vectors scanned", count, start);
}

static void read_all(struct store *store, const struct corpus *corpus)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    get_singly(store, corpus);
    get_in_batches(store, corpus, HOT, "get, 1000 hot ones at a time");
    get_in_batches(store, corpus, corpus->n, "get, 1000 at a time");
    get_vectors(store, corpus, &arena);
    get_neighbors(store, corpus, &arena);
    scan(store);
    arena_deinit(&arena);
}

int main(int argc, char **argv)
{
    char own[] = "/tmp/store-bench-XXXXXX";
    const char *folder = argc > 1 ? argv[1] : mkdtemp(own);
    struct corpus corpus = { 0 };
    struct store *store;

    if (folder == NULL)
        die("no folder to write in");
    read_corpus(&corpus, argc > 2 ? argv[2] : "/usr/share/wordnet");
    printf("below %s\n", folder);
    store_close(write_variant(&corpus, folder, "texts", false, false, 1));
    store_close(write_variant(&corpus, folder, "texts, vectors", true, false, 1));
    store_close(write_variant(&corpus, folder, "all by 4 threads", true, true, THREADS));
    store = write_variant(&corpus, folder, "all", true, true, 1);
    read_all(store, &corpus);
    store_close(store);
    free(corpus.items);
    arena_deinit(&corpus.arena);
    return 0;
}
