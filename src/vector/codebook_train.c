#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/codebook_impl.h"
#include "src/vector/kernel.h"
#include "src/vector/kmeans.h"

/* LAPACK, from OpenBLAS, which has no C header for it: eigenvalues in ascending order. */
void ssyevd_(const char *job, const char *triangle, const int *n, float *a, const int *lda,
             float *w, float *work, const int *lwork, int *iwork, const int *liwork, int *info);

/* Everything a training allocates besides its result. */
struct training {
    const struct codebook_train_options *options;
    const float *samples;
    size_t n;
    size_t d;
    struct codebook *codebook;
    float *rotated;     /* [n][d] */
    float *points;      /* [n][w], one part of rotated */
    float *covariance;  /* [d][d], later the eigenvectors as rows */
    float *eigenvalues; /* [d] */
    struct kmeans kmeans;
};

static void *allocate(size_t count, size_t size)
{
    size_t bytes;

    if (!size_mul(count, size, &bytes) || !size_add(bytes, 63, &bytes))
        return NULL;
    return aligned_alloc(64, bytes & ~(size_t)63);
}

static void training_deinit(struct training *t)
{
    codebook_unref(t->codebook);
    free(t->rotated);
    free(t->points);
    free(t->covariance);
    free(t->eigenvalues);
    free(t->kmeans.assignment);
    free(t->kmeans.sums);
    free(t->kmeans.indices);
}

static enum status_code training_init(struct training *t, struct status *st)
{
    size_t w = t->d / CODEBOOK_PARTS;

    t->codebook = codebook_new(t->d);
    t->rotated = allocate(t->n, t->d * sizeof(float));
    t->points = allocate(t->n, w * sizeof(float));
    t->covariance = allocate(t->d, t->d * sizeof(float));
    t->eigenvalues = allocate(t->d, sizeof(float));
    t->kmeans = (struct kmeans){
        .points = t->points,
        .n = t->n,
        .w = w,
        .assignment = allocate(t->n, 1),
        .sums = allocate(CODEBOOK_CENTROIDS, w * sizeof(double)),
        .indices = allocate(t->n, sizeof(uint32_t)),
    };
    if (t->codebook == NULL || t->rotated == NULL || t->points == NULL || t->covariance == NULL ||
        t->eigenvalues == NULL || t->kmeans.assignment == NULL || t->kmeans.sums == NULL ||
        t->kmeans.indices == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to train on %zu samples", t->n);
    return STATUS_OK;
}

static bool roughly_unit(const float *v, size_t d)
{
    double squares = 0;

    for (size_t i = 0; i < d; i++)
        squares += (double)v[i] * v[i];
    return squares > 0.5 && squares < 2; /* false for NaN */
}

static enum status_code check_input(const float *samples, size_t n, size_t d,
                                    const struct codebook_train_options *options, struct status *st)
{
    if (!codebook_dimension_valid(d))
        return status_set(st, STATUS_INVALID_ARGUMENT, "dimension %zu is not a multiple of %d", d,
                          CODEBOOK_PARTS);
    if (n < CODEBOOK_MIN_SAMPLES || n > INT32_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%zu samples; training needs at least %d", n,
                          CODEBOOK_MIN_SAMPLES);
    if (options->iterations == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "training needs at least one iteration");
    for (size_t i = 0; i < n; i++)
        if (!roughly_unit(samples + i * d, d))
            return status_set(st, STATUS_INVALID_ARGUMENT, "sample %zu is not a unit vector", i);
    return STATUS_OK;
}

static bool cancelled(const struct training *t)
{
    return t->options->cancelled != NULL && t->options->cancelled(t->options->context);
}

static void report(const struct training *t, double fraction)
{
    if (t->options->progress != NULL)
        t->options->progress(t->options->context, fraction);
}

/* Upper triangle of the samples' covariance; the mean goes through eigenvalues as scratch. */
static void compute_covariance(struct training *t)
{
    float *mean = t->eigenvalues;

    for (size_t j = 0; j < t->d; j++)
        mean[j] = 0;
    for (size_t i = 0; i < t->n; i++)
        for (size_t j = 0; j < t->d; j++)
            mean[j] += t->samples[i * t->d + j] / (float)t->n;
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)t->d, (int)t->n, 1.0f / (float)t->n,
                t->samples, (int)t->d, 0, t->covariance, (int)t->d);
    cblas_ssyr(CblasRowMajor, CblasUpper, (int)t->d, -1, mean, 1, t->covariance, (int)t->d);
}

/* Row i of the covariance becomes the eigenvector of eigenvalues[i], ascending. */
static enum status_code diagonalise(struct training *t, struct status *st)
{
    int d = (int)t->d;
    int floats = 1 + 6 * d + 2 * d * d; /* what the documentation of SSYEVD asks for */
    int ints = 3 + 5 * d;
    float *work = allocate((size_t)floats, sizeof *work);
    int *int_work = allocate((size_t)ints, sizeof *int_work);
    int info = 0;

    if (work == NULL || int_work == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for the principal directions");
    else /* row-major upper is column-major lower */
        ssyevd_("V", "L", &d, t->covariance, &d, t->eigenvalues, work, &floats, int_work, &ints,
                &info);
    if (info != 0)
        status_set(st, STATUS_INTERNAL, "SSYEVD failed with %d", info);
    free(work);
    free(int_work);
    return st->code;
}

/* The part that carries least so far and has room: log of its variance, in units of the smallest.
 */
static size_t lightest_part(const double weights[CODEBOOK_PARTS],
                            const size_t filled[CODEBOOK_PARTS], size_t w)
{
    size_t lightest = CODEBOOK_PARTS;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        if (filled[p] < w && (lightest == CODEBOOK_PARTS || weights[p] < weights[lightest]))
            lightest = p;
    return lightest;
}

/* Deals the directions out, the strongest first, so that the products of variances come out even.
 */
static void allocate_directions(struct training *t)
{
    const double floor = 1e-9; /* variance below it is rounding */
    double weights[CODEBOOK_PARTS] = { 0 };
    size_t filled[CODEBOOK_PARTS] = { 0 };
    size_t w = t->codebook->part_width;

    for (size_t rank = t->d; rank-- > 0;) {
        size_t p = lightest_part(weights, filled, w);
        size_t column = p * w + filled[p]++;
        weights[p] += log(fmax(t->eigenvalues[rank], floor) / floor);
        for (size_t i = 0; i < t->d; i++)
            t->codebook->rotation[i * t->d + column] = t->covariance[rank * t->d + i];
    }
}

static enum status_code find_rotation(struct training *t, struct status *st)
{
    openblas_set_num_threads(1);
    compute_covariance(t);
    if (diagonalise(t, st) != STATUS_OK)
        return st->code;
    allocate_directions(t);
    vector_kernel()->rotate(t->samples, t->n, t->codebook->rotation, t->d, t->rotated);
    return STATUS_OK;
}

static void gather_part(struct training *t, size_t part)
{
    size_t w = t->codebook->part_width;

    for (size_t i = 0; i < t->n; i++)
        memcpy(t->points + i * w, t->rotated + i * t->d + part * w, w * sizeof(float));
}

static enum status_code train_part(struct training *t, size_t part, uint64_t *seed,
                                   double *total_error, struct status *st)
{
    uint32_t iterations = t->options->iterations;

    gather_part(t, part);
    t->kmeans.centroids = codebook_part(t->codebook, part);
    t->kmeans.half_norms = t->codebook->half_norms + part * CODEBOOK_CENTROIDS;
    kmeans_start(&t->kmeans, seed);
    for (uint32_t i = 0; i < iterations; i++) {
        if (cancelled(t))
            return status_set(st, STATUS_CANCELLED, "training was cancelled");
        kmeans_assign(&t->kmeans);
        kmeans_update(&t->kmeans);
        report(t, ((double)part + (double)(i + 1) / iterations) / CODEBOOK_PARTS);
    }
    kmeans_assign(&t->kmeans);
    *total_error += kmeans_error(&t->kmeans);
    return STATUS_OK;
}

static enum status_code train(struct training *t, struct status *st)
{
    uint64_t seed = t->options->seed;
    double error = 0;

    if (find_rotation(t, st) != STATUS_OK)
        return st->code;
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        if (train_part(t, p, &seed, &error, st) != STATUS_OK)
            return st->code;
    t->codebook->info.version = t->options->version;
    t->codebook->info.trained_on = t->n;
    t->codebook->info.mean_squared_error = (float)error;
    codebook_complete(t->codebook);
    return STATUS_OK;
}

enum status_code codebook_train(const float *samples, size_t n, size_t d,
                                const struct codebook_train_options *options, struct codebook **ret,
                                struct status *st)
{
    struct training t = { .options = options, .samples = samples, .n = n, .d = d };

    if (check_input(samples, n, d, options, st) == STATUS_OK &&
        training_init(&t, st) == STATUS_OK && train(&t, st) == STATUS_OK) {
        *ret = t.codebook;
        t.codebook = NULL;
    }
    training_deinit(&t);
    return st->code;
}
