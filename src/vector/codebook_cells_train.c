#include <stdlib.h>
#include <string.h>

#include "src/vector/codebook_impl.h"
#include "src/vector/kmeans.h"
#include "src/vector/refine.h"

enum { ITERATIONS = 12, BLOCK = 256 /* rows between two polls */ };

/* What a cell without rows is set off from another by; cells are unit vectors. */
static const float NUDGE = 0.01f;

struct cell_training {
    struct codebook *codebook;
    const int8_t *values;
    size_t n;
    const struct training_watch *watch;
    struct kmeans kmeans;
    uint32_t *cells; /* [n] */
};

static void training_deinit(struct cell_training *t)
{
    free(t->kmeans.means);
    free(t->kmeans.counts);
    free(t->cells);
}

static enum status_code training_init(struct cell_training *t, struct status *st)
{
    size_t d = t->codebook->info.dimension;
    size_t cells = t->codebook->info.cells;

    t->kmeans = (struct kmeans){ .k = cells,
                                 .w = d,
                                 .means = training_allocate(cells, d * sizeof(float)),
                                 .counts = training_allocate(cells, sizeof(uint32_t)) };
    t->cells = training_allocate(t->n, sizeof(uint32_t));
    if (t->kmeans.means == NULL || t->kmeans.counts == NULL || t->cells == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to train %zu cells", cells);
    return STATUS_OK;
}

static void normalise_means(struct kmeans *kmeans)
{
    for (size_t c = 0; c < kmeans->k; c++)
        vector_normalise(kmeans->means + c * kmeans->w, kmeans->w); /* a zero mean stays zero */
}

/* All cells by one step, so that their products can be compared. */
static void set_cells(struct codebook *codebook, const float *means)
{
    size_t n = codebook->info.cells * codebook->info.dimension;

    vector_kernel()->to_int8(means, n, CODEBOOK_TOP / vector_kernel()->largest(means, n),
                             codebook->cells);
    codebook_complete_cells(codebook);
}

static void add(struct cell_training *t, size_t cell, size_t row)
{
    size_t d = t->kmeans.w;
    const int8_t *values = t->values + row * d;

    kmeans_add(&t->kmeans, cell, values, refine_inverse_length(values, d));
}

static void move_cells(struct cell_training *t)
{
    kmeans_finish(&t->kmeans, NUDGE);
    normalise_means(&t->kmeans);
    set_cells(t->codebook, t->kmeans.means);
}

/* Every so many rows is a cell; two equal ones are told apart by the first iteration. */
static void begin(struct cell_training *t)
{
    size_t interval = t->n / t->kmeans.k;
    uint64_t seed = t->watch->options->seed;

    kmeans_clear(&t->kmeans);
    for (size_t c = 0; c < t->kmeans.k; c++)
        add(t, c, c * interval + (size_t)(kmeans_random(&seed) % interval));
    move_cells(t);
}

static enum status_code iterate(struct cell_training *t, uint32_t iteration, struct status *st)
{
    double d = (double)ITERATIONS * (double)t->n;

    for (size_t start = 0; start < t->n; start += BLOCK) {
        size_t count = t->n - start < BLOCK ? t->n - start : BLOCK;
        codebook_assign(t->codebook, t->values + start * t->kmeans.w, t->kmeans.w, count,
                        t->cells + start);
        if (training_watch(t->watch,
                           ((double)iteration * (double)t->n + (double)(start + count)) / d,
                           st) != STATUS_OK)
            return st->code;
    }
    kmeans_clear(&t->kmeans);
    for (size_t i = 0; i < t->n; i++)
        add(t, t->cells[i], i);
    move_cells(t);
    return STATUS_OK;
}

enum status_code codebook_train_cells(struct codebook *codebook, const int8_t *values, size_t n,
                                      const struct training_watch *watch, struct status *st)
{
    struct cell_training t = { .codebook = codebook, .values = values, .n = n, .watch = watch };

    if (training_init(&t, st) != STATUS_OK)
        goto out;
    begin(&t);
    for (uint32_t i = 0; i < ITERATIONS; i++)
        if (iterate(&t, i, st) != STATUS_OK)
            goto out;
out:
    training_deinit(&t);
    return st->code;
}
