#define _GNU_SOURCE /* qsort_r */
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/codebook_impl.h"
#include "src/vector/kmeans.h"
#include "src/vector/refine.h"

enum {
    ITERATIONS = 6,
    LEAST_SHARE = 8, /* of the samples of a cell, one in so many has to be in each half */
};

static const float NUDGE = 0.01f;

struct rebalancing {
    const struct codebook *old;
    const uint64_t *sizes;
    size_t n;
    struct codebook *codebook; /* the result */
    int8_t *values;            /* [n][d], of the samples */
    uint32_t *cells;           /* [n], of the samples by the old cells */
    uint32_t *order;           /* [l], cells by size, the largest first */
    float *means;              /* [2][d] */
    int8_t *halves;            /* [2][d], of the cell that is being split */
    float length;              /* of a cell's int8 values */
};

static void rebalancing_deinit(struct rebalancing *r)
{
    codebook_unref(r->codebook);
    free(r->values);
    free(r->cells);
    free(r->order);
    free(r->means);
    free(r->halves);
}

static struct codebook *copy_of(const struct codebook *old)
{
    size_t d = old->info.dimension;
    struct codebook *copy = codebook_new(d, old->info.cells);

    if (copy == NULL)
        return NULL;
    copy->info = old->info;
    copy->step = old->step;
    memcpy(copy->column_factors, old->column_factors, d * sizeof(float));
    memcpy(copy->rotation, old->rotation, d * d);
    memcpy(copy->centroids, old->centroids, d * CODEBOOK_CENTROIDS);
    memcpy(copy->cells, old->cells, d * old->info.cells);
    return copy;
}

static enum status_code rebalancing_init(struct rebalancing *r, struct status *st)
{
    size_t d = r->old->info.dimension;

    r->codebook = copy_of(r->old);
    r->values = training_allocate(r->n, d);
    r->cells = training_allocate(r->n, sizeof(uint32_t));
    r->order = training_allocate(r->old->info.cells, sizeof(uint32_t));
    r->means = training_allocate(2 * d, sizeof(float));
    r->halves = training_allocate(2 * d, 1);
    if (r->codebook == NULL || r->values == NULL || r->cells == NULL || r->order == NULL ||
        r->means == NULL || r->halves == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to rebalance %u cells",
                          r->old->info.cells);
    return STATUS_OK;
}

static int by_size(const void *a, const void *b, void *sizes)
{
    const uint32_t *x = a, *y = b;
    const uint64_t *size = sizes;

    if (size[*x] != size[*y])
        return size[*x] > size[*y] ? -1 : 1;
    return *x < *y ? -1 : 1;
}

/* How many of the largest cells to split; as many of the smallest are given up for them. */
static size_t order_cells(struct rebalancing *r)
{
    size_t cells = r->old->info.cells;
    size_t large = 0;
    size_t small = 0;
    double total = 0;

    for (size_t c = 0; c < cells; c++) {
        r->order[c] = (uint32_t)c;
        total += (double)r->sizes[c];
    }
    qsort_r(r->order, cells, sizeof *r->order, by_size, (void *)(uintptr_t)r->sizes);
    for (size_t c = 0; c < cells; c++) {
        double shares = (double)r->sizes[c] * (double)cells;
        large += shares > CODEBOOK_SPLIT_AT * total;
        small += shares * CODEBOOK_MERGE_AT < total;
    }
    return size_min(size_max(large, small), cells / 2);
}

/* All cells have length 1, and so one length in int8 units, up to rounding. */
static float mean_length(const struct codebook *codebook)
{
    size_t d = codebook->info.dimension;
    double squares = 0;

    for (size_t c = 0; c < codebook->info.cells; c++)
        squares += vector_kernel()->dot_i8(codebook->cells + c * d, codebook->cells + c * d, d);
    return (float)sqrt(squares / codebook->info.cells);
}

static struct kmeans halves_kmeans(struct rebalancing *r, uint32_t counts[2])
{
    return (
        struct kmeans){ .k = 2, .w = r->old->info.dimension, .means = r->means, .counts = counts };
}

static void add(struct rebalancing *r, struct kmeans *kmeans, size_t half, size_t row)
{
    const int8_t *values = r->values + row * kmeans->w;

    kmeans_add(kmeans, half, values, refine_inverse_length(values, kmeans->w));
}

static void finish(struct rebalancing *r, struct kmeans *kmeans)
{
    kmeans_finish(kmeans, NUDGE);
    vector_normalise(r->means, kmeans->w); /* a zero mean stays zero */
    vector_normalise(r->means + kmeans->w, kmeans->w);
    vector_kernel()->to_int8(r->means, 2 * kmeans->w, r->length, r->halves);
}

/* Begins with any sample of @cell and the one that is farthest from it. False if it has none. */
static bool begin_halves(struct rebalancing *r, struct kmeans *kmeans, uint32_t cell)
{
    size_t d = kmeans->w;
    size_t first = 0;
    size_t farthest;
    float least = INFINITY;

    while (first < r->n && r->cells[first] != cell)
        first++;
    if (first == r->n)
        return false;
    farthest = first;
    for (size_t i = first + 1; i < r->n; i++) {
        const int8_t *values = r->values + i * d;
        float cosine;
        if (r->cells[i] != cell)
            continue;
        cosine = (float)vector_kernel()->dot_i8(r->values + first * d, values, d) *
                 refine_inverse_length(values, d);
        farthest = cosine < least ? i : farthest;
        least = cosine < least ? cosine : least;
    }
    kmeans_clear(kmeans);
    add(r, kmeans, 0, first);
    add(r, kmeans, 1, farthest);
    finish(r, kmeans);
    return true;
}

static void iterate_halves(struct rebalancing *r, struct kmeans *kmeans, uint32_t cell)
{
    const struct vector_kernel *kernel = vector_kernel();
    size_t d = kmeans->w;

    kmeans_clear(kmeans);
    for (size_t i = 0; i < r->n; i++) {
        const int8_t *values = r->values + i * d;
        if (r->cells[i] == cell)
            add(r, kmeans,
                kernel->dot_i8(values, r->halves + d, d) > kernel->dot_i8(values, r->halves, d), i);
    }
}

/* 2-means of the samples of @cell. False if they do not fall apart into two. */
static bool split(struct rebalancing *r, uint32_t cell)
{
    uint32_t counts[2];
    struct kmeans kmeans = halves_kmeans(r, counts);
    uint32_t least;

    if (!begin_halves(r, &kmeans, cell))
        return false;
    for (size_t i = 0; i < ITERATIONS; i++) {
        iterate_halves(r, &kmeans, cell);
        least = counts[0] < counts[1] ? counts[0] : counts[1];
        if (least == 0 || (uint64_t)least * LEAST_SHARE < (uint64_t)counts[0] + counts[1])
            return false;
        finish(r, &kmeans);
    }
    return true;
}

/* Whether any cell could be replaced. */
static bool replace_cells(struct rebalancing *r)
{
    size_t d = r->old->info.dimension;
    size_t cells = r->old->info.cells;
    size_t wanted = order_cells(r);
    bool replaced = false;

    for (size_t i = 0; i < wanted; i++) {
        uint32_t large = r->order[i];
        uint32_t small = r->order[cells - 1 - i];
        if (!split(r, large))
            continue;
        memcpy(r->codebook->cells + large * d, r->halves, d);
        memcpy(r->codebook->cells + small * d, r->halves + d, d);
        replaced = true;
    }
    return replaced;
}

static struct codebook *rebalance(struct rebalancing *r, const float *samples, uint64_t version)
{
    struct codebook *result = r->codebook;
    size_t d = r->old->info.dimension;

    training_quantise(samples, r->n, d, r->values);
    codebook_assign(r->old, r->values, d, r->n, r->cells);
    r->length = mean_length(r->old);
    if (!replace_cells(r))
        return NULL;
    result->info.version = version;
    codebook_complete(result);
    r->codebook = NULL;
    return result;
}

enum status_code codebook_rebalance(const struct codebook *codebook, const uint64_t *sizes,
                                    const float *samples, size_t n, uint64_t version,
                                    struct codebook **ret, struct status *st)
{
    struct rebalancing r = { .old = codebook, .sizes = sizes, .n = n };

    if (codebook->info.cells == 0)
        return status_set(st, STATUS_FAILED_PRECONDITION, "the codebook has no cells");
    if (training_check_samples(samples, n, codebook->info.dimension, st) == STATUS_OK &&
        rebalancing_init(&r, st) == STATUS_OK)
        *ret = rebalance(&r, samples, version);
    rebalancing_deinit(&r);
    return st->code;
}
