#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/codebook_impl.h"
#include "src/vector/codebook_rotation.h"
#include "src/vector/kmeans.h"
#include "src/vector/refine.h"

enum {
    MAX_SAMPLES = 1 << 24,
    BLOCK = 1024, /* rows between two polls */
    STEP_SAMPLES = 4096,
};

/* Everything a training allocates besides its result. */
struct training {
    struct training_watch watch;
    const float *samples;
    size_t n;
    size_t d;
    struct codebook *codebook;
    float *directions; /* [d][d], the rotation before it is quantised */
    int8_t *values;    /* [n][d], of the samples */
    int8_t *rotated;   /* [n][d] */
    uint8_t *codes;    /* [n][48] */
    float *means;      /* [48][256][w] */
    uint32_t *counts;  /* [48][256] */
    double error;      /* mean |rotated - decoded|^2 */
};

void *training_allocate(size_t count, size_t size)
{
    size_t bytes;

    if (!size_mul(count, size, &bytes) || !size_add(bytes, 63, &bytes))
        return NULL;
    return aligned_alloc(64, bytes & ~(size_t)63);
}

enum status_code training_watch(const struct training_watch *watch, double fraction,
                                struct status *st)
{
    const struct codebook_train_options *options = watch->options;

    if (options->cancelled != NULL && options->cancelled(options->context))
        return status_set(st, STATUS_CANCELLED, "training was cancelled");
    if (options->progress != NULL)
        options->progress(options->context, watch->from + fraction * (watch->to - watch->from));
    return STATUS_OK;
}

static bool roughly_unit(const float *v, size_t d)
{
    double squares = 0;

    for (size_t i = 0; i < d; i++)
        squares += (double)v[i] * v[i];
    return squares > 0.5 && squares < 2; /* false for NaN */
}

enum status_code training_check_samples(const float *samples, size_t n, size_t d, struct status *st)
{
    for (size_t i = 0; i < n; i++)
        if (!roughly_unit(samples + i * d, d))
            return status_set(st, STATUS_INVALID_ARGUMENT, "sample %zu is not a unit vector", i);
    return STATUS_OK;
}

void training_quantise(const float *samples, size_t n, size_t d, int8_t *ret_values)
{
    for (size_t i = 0; i < n; i++)
        refine_quantise(samples + i * d, d, ret_values + i * d);
}

static enum status_code check_input(const float *samples, size_t n, size_t d,
                                    const struct codebook_train_options *options, struct status *st)
{
    if (!codebook_dimension_valid(d))
        return status_set(st, STATUS_INVALID_ARGUMENT, "dimension %zu is not a multiple of %d", d,
                          4 * CODEBOOK_PARTS);
    if (!codebook_cells_valid(options->cells))
        return status_set(st, STATUS_INVALID_ARGUMENT, "%u cells; want a multiple of %d up to %d",
                          options->cells, KERNEL_COLUMNS, CODEBOOK_MAX_CELLS);
    if (n < CODEBOOK_MIN_SAMPLES || n < (size_t)options->cells * CODEBOOK_SAMPLES_PER_CELL ||
        n > MAX_SAMPLES)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%zu samples; training needs at least %d, and %d for a cell", n,
                          CODEBOOK_MIN_SAMPLES, CODEBOOK_SAMPLES_PER_CELL);
    if (options->iterations == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "training needs at least one iteration");
    if (training_check_samples(options->held_out, options->held_out_count, d, st) != STATUS_OK)
        return status_wrap(st, "held out");
    return training_check_samples(samples, n, d, st);
}

static void training_deinit(struct training *t)
{
    codebook_unref(t->codebook);
    free(t->directions);
    free(t->values);
    free(t->rotated);
    free(t->codes);
    free(t->means);
    free(t->counts);
}

static enum status_code training_init(struct training *t, struct status *st)
{
    t->codebook = codebook_new(t->d, t->watch.options->cells);
    t->directions = training_allocate(t->d, t->d * sizeof(float));
    t->values = training_allocate(t->n, t->d);
    t->rotated = training_allocate(t->n, t->d);
    t->codes = training_allocate(t->n, CODEBOOK_PARTS);
    t->means = training_allocate(t->d, CODEBOOK_CENTROIDS * sizeof(float));
    t->counts = training_allocate(CODEBOOK_PARTS, CODEBOOK_CENTROIDS * sizeof(uint32_t));
    if (t->codebook == NULL || t->directions == NULL || t->values == NULL || t->rotated == NULL ||
        t->codes == NULL || t->means == NULL || t->counts == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to train on %zu samples", t->n);
    return STATUS_OK;
}

/* 127 steps reach as far as any of the rotated samples, or of some of them: the few values beyond
 * are clipped. */
static void choose_step(struct training *t)
{
    int32_t sums[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    struct codebook *codebook = t->codebook;
    size_t interval = (t->n + STEP_SAMPLES - 1) / STEP_SAMPLES;
    float largest = 0;

    for (size_t i = 0; i < t->n; i += interval) {
        const int8_t *values = t->values + i * t->d;
        float inverse = refine_inverse_length(values, t->d);
        vector_kernel()->products(values, t->d, 1, t->d, codebook->packed_rotation, t->d, sums);
        for (size_t j = 0; j < t->d; j++)
            largest = fmaxf(largest, fabsf((float)sums[j] * codebook->column_factors[j] * inverse));
    }
    codebook->step = largest / CODEBOOK_TOP;
}

/* Quantises the directions and rotates all samples anew. */
static void rotate(struct training *t)
{
    rotation_quantise(t->directions, t->codebook);
    t->codebook->step = 1; /* any: completing divides by it */
    codebook_complete_rotation(t->codebook);
    choose_step(t);
    codebook_complete_rotation(t->codebook);
    codebook_rotate(t->codebook, t->values, t->d, t->n, t->rotated);
}

static struct kmeans part_kmeans(const struct training *t, size_t part)
{
    size_t w = t->codebook->part_width;

    return (struct kmeans){ .k = CODEBOOK_CENTROIDS,
                            .w = w,
                            .means = t->means + part * CODEBOOK_CENTROIDS * w,
                            .counts = t->counts + part * CODEBOOK_CENTROIDS };
}

/* Begins with the values of random rows. Starting points far apart, as k-means++ finds them, take
 * longer to find and end no better here. */
static void begin_parts(struct training *t)
{
    uint64_t seed = t->watch.options->seed;
    size_t interval = t->n / CODEBOOK_CENTROIDS;
    size_t w = t->codebook->part_width;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        for (size_t c = 0; c < CODEBOOK_CENTROIDS; c++) {
            size_t row = c * interval + (size_t)(kmeans_random(&seed) % interval);
            memcpy(codebook_part(t->codebook, p) + c * w, t->rotated + row * t->d + p * w, w);
        }
    codebook_complete_centroids(t->codebook);
}

static void add_rows(struct training *t, struct kmeans *kmeans)
{
    size_t w = t->codebook->part_width;

    for (size_t i = 0; i < t->n; i++)
        for (size_t p = 0; p < CODEBOOK_PARTS; p++)
            kmeans_add(&kmeans[p], t->codes[i * CODEBOOK_PARTS + p], t->rotated + i * t->d + p * w,
                       1);
}

/* Moves every centroid to the mean of its points. */
static void update(struct training *t)
{
    struct kmeans kmeans[CODEBOOK_PARTS];
    size_t values = CODEBOOK_CENTROIDS * t->codebook->part_width;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++) {
        kmeans[p] = part_kmeans(t, p);
        kmeans_clear(&kmeans[p]);
    }
    add_rows(t, kmeans);
    for (size_t p = 0; p < CODEBOOK_PARTS; p++) {
        kmeans_finish(&kmeans[p], 1);
        vector_kernel()->to_int8(kmeans[p].means, values, 1, codebook_part(t->codebook, p));
    }
    codebook_complete_centroids(t->codebook);
}

/* The sum of squared errors, in steps^2, of a block of rows that are assigned. */
static double assign_block(struct training *t, size_t start, size_t count)
{
    const struct vector_kernel *kernel = vector_kernel();
    const int8_t *rotated = t->rotated + start * t->d;
    int32_t best[BLOCK] __attribute__((aligned(64)));
    double error = 0;

    kernel->encode(rotated, count, CODEBOOK_PARTS, t->codebook->part_width,
                   t->codebook->packed_centroids, t->codebook->half_norms,
                   t->codes + start * CODEBOOK_PARTS, best);
    for (size_t i = 0; i < count; i++)
        error += kernel->dot_i8(rotated + i * t->d, rotated + i * t->d, t->d) - 2.0 * best[i];
    return error;
}

/* The nearest centroids of all samples. @done and @share of the phase: before, and this takes. */
static enum status_code assign(struct training *t, double done, double share, struct status *st)
{
    double error = 0;

    for (size_t start = 0; start < t->n; start += BLOCK) {
        size_t count = t->n - start < BLOCK ? t->n - start : BLOCK;
        error += assign_block(t, start, count);
        if (training_watch(&t->watch, done + share * (double)(start + count) / (double)t->n, st) !=
            STATUS_OK)
            return st->code;
    }
    t->error = error / (double)t->n * t->codebook->step * t->codebook->step;
    return STATUS_OK;
}

/* What rounding costs a row at most: half a step of each value of it and, since its length is 1,
 * about half a step of each column that it is multiplied by. */
static double rounding_error(const struct codebook *codebook)
{
    double squares = 0;

    for (size_t j = 0; j < codebook->info.dimension; j++)
        squares += (double)codebook->column_factors[j] * codebook->column_factors[j];
    return (squares + (double)codebook->step * codebook->step * (double)codebook->info.dimension) /
           4;
}

/* Neither a mean nor a turn can make the error worse, but for rounding. */
static enum status_code check_error(const struct training *t, double before, struct status *st)
{
    if (!(t->error <= before * 1.01 + rounding_error(t->codebook))) /* NaN too */
        return status_set(st, STATUS_INTERNAL, "k-means went from an error of %g to %g", before,
                          t->error);
    return STATUS_OK;
}

static enum status_code turn(struct training *t, struct status *st)
{
    if (rotation_turn(t->codebook, t->samples, t->n, t->codes, t->directions, st) == STATUS_OK)
        rotate(t);
    return st->code;
}

/* Turning ends before the centroids do, which need some rounds to settle. */
static bool turns(uint32_t iteration, uint32_t iterations)
{
    return iteration > 0 && iteration < iterations / 2;
}

static enum status_code train_parts(struct training *t, struct status *st)
{
    uint32_t iterations = t->watch.options->iterations;
    double share = 1.0 / (iterations + 1.0);

    if (rotation_begin(t->samples, t->n, t->d, t->directions, st) != STATUS_OK)
        return st->code;
    rotate(t);
    begin_parts(t);
    if (assign(t, 0, share, st) != STATUS_OK)
        return st->code;
    for (uint32_t i = 0; i < iterations; i++) {
        double before = t->error;
        if (turns(i, iterations) && turn(t, st) != STATUS_OK)
            return st->code;
        update(t);
        if (assign(t, (i + 1) * share, share, st) != STATUS_OK ||
            check_error(t, before, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

/* What is trained on is nearer to the centroids than what is not: @fallback, its error, would be
 * too low to compare others with. */
static float error_of_held_out(const struct codebook *codebook,
                               const struct codebook_train_options *options, double fallback)
{
    size_t d = codebook->info.dimension;
    double sum = 0;

    for (size_t i = 0; i < options->held_out_count; i++) {
        uint8_t code[CODEBOOK_CODE_BYTES];
        int8_t values[VECTOR_MAX_DIMENSION];
        float error;
        refine_quantise(options->held_out + i * d, d, values);
        codebook_encode(codebook, values, d, 1, code, NULL, &error);
        sum += (double)error;
    }
    if (options->held_out_count > 0)
        fallback = sum / (double)options->held_out_count;
    return (float)fmax(fallback, 0); /* where nothing is lost, rounding may say less than that */
}

static enum status_code train(struct training *t, struct status *st)
{
    const struct codebook_train_options *options = t->watch.options;
    struct codebook_info *info = &t->codebook->info;

    training_quantise(t->samples, t->n, t->d, t->values);
    t->watch.to = options->cells == 0 ? 1 : 0.5;
    if (train_parts(t, st) != STATUS_OK)
        return st->code;
    t->watch.from = t->watch.to;
    t->watch.to = 1;
    if (options->cells > 0 &&
        codebook_train_cells(t->codebook, t->values, t->n, &t->watch, st) != STATUS_OK)
        return st->code;
    info->version = options->version;
    info->code_version = options->version;
    info->trained_on = t->n;
    info->trained_at = options->stored;
    info->mean_squared_error = error_of_held_out(t->codebook, options, t->error);
    codebook_complete(t->codebook);
    return STATUS_OK;
}

enum status_code codebook_train(const float *samples, size_t n, size_t d,
                                const struct codebook_train_options *options, struct codebook **ret,
                                struct status *st)
{
    struct training t = { .watch = { .options = options }, .samples = samples, .n = n, .d = d };

    if (check_input(samples, n, d, options, st) == STATUS_OK &&
        training_init(&t, st) == STATUS_OK && train(&t, st) == STATUS_OK) {
        *ret = t.codebook;
        t.codebook = NULL;
    }
    training_deinit(&t);
    return st->code;
}
