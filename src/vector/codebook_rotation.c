#include "src/vector/codebook_rotation.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK, from OpenBLAS, which has no C header for it: eigenvalues in ascending order. */
void ssyevd_(const char *job, const char *triangle, const int *n, float *a, const int *lda,
             float *w, float *work, const int *lwork, int *iwork, const int *liwork, int *info);

/* Singular values and vectors; everything column by column. */
void sgesdd_(const char *job, const int *m, const int *n, float *a, const int *lda, float *s,
             float *u, const int *ldu, float *vt, const int *ldvt, float *work, const int *lwork,
             int *iwork, int *info);

enum { TURN_BLOCK = 1024, TURN_SAMPLES = 32768 };

static enum status_code no_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for the directions of a codebook");
}

/* Upper triangle of the samples' covariance. @mean [d] is scratch. */
static void compute_covariance(const float *samples, size_t n, size_t d, float *mean, float *ret)
{
    memset(mean, 0, d * sizeof *mean);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            mean[j] += samples[i * d + j] / (float)n;
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)d, (int)n, 1.0f / (float)n, samples,
                (int)d, 0, ret, (int)d);
    cblas_ssyr(CblasRowMajor, CblasUpper, (int)d, -1, mean, 1, ret, (int)d);
}

/* Row i of @covariance becomes the eigenvector of eigenvalues[i], ascending. */
static enum status_code diagonalise(float *covariance, size_t size, float *ret_eigenvalues,
                                    struct status *st)
{
    int d = (int)size;
    int floats = 1 + 6 * d + 2 * d * d; /* what the documentation of SSYEVD asks for */
    int ints = 3 + 5 * d;
    float *work = training_allocate((size_t)floats, sizeof *work);
    int *int_work = training_allocate((size_t)ints, sizeof *int_work);
    int info = 0;

    if (work == NULL || int_work == NULL)
        no_memory(st);
    else /* row-major upper is column-major lower */
        ssyevd_("V", "L", &d, covariance, &d, ret_eigenvalues, work, &floats, int_work, &ints,
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
static void deal_out(const float *directions, const float *eigenvalues, size_t d, float *ret)
{
    const double floor = 1e-9; /* variance below it is rounding */
    double weights[CODEBOOK_PARTS] = { 0 };
    size_t filled[CODEBOOK_PARTS] = { 0 };
    size_t w = d / CODEBOOK_PARTS;

    for (size_t rank = d; rank-- > 0;) {
        size_t p = lightest_part(weights, filled, w);
        size_t column = p * w + filled[p]++;
        weights[p] += log(fmax(eigenvalues[rank], floor) / floor);
        for (size_t i = 0; i < d; i++)
            ret[i * d + column] = directions[rank * d + i];
    }
}

enum status_code rotation_begin(const float *samples, size_t n, size_t d, float *ret_rotation,
                                struct status *st)
{
    float *covariance = training_allocate(d, d * sizeof *covariance);
    float *eigenvalues = training_allocate(d, sizeof *eigenvalues);

    openblas_set_num_threads(1);
    if (covariance == NULL || eigenvalues == NULL) {
        no_memory(st);
        goto out;
    }
    compute_covariance(samples, n, d, eigenvalues, covariance);
    if (diagonalise(covariance, d, eigenvalues, st) == STATUS_OK)
        deal_out(covariance, eigenvalues, d, ret_rotation);
out:
    free(covariance);
    free(eigenvalues);
    return st->code;
}

/* The rotated rows that codes stand for, [n][d]. */
static void decode_rotated(const struct codebook *codebook, const uint8_t *codes, size_t n,
                           float *ret)
{
    size_t w = codebook->part_width;

    for (size_t i = 0; i < n * CODEBOOK_PARTS; i++) {
        const int8_t *centroid = codebook_part(codebook, i % CODEBOOK_PARTS) + codes[i] * w;
        for (size_t k = 0; k < w; k++)
            ret[i * w + k] = codebook->step * (float)centroid[k];
    }
}

/* samples^T * decoded, [d][d]. @decoded [TURN_BLOCK][d] is scratch. */
static void correlate(const struct codebook *codebook, const float *samples, size_t n,
                      const uint8_t *codes, float *decoded, float *ret)
{
    size_t d = codebook->info.dimension;

    memset(ret, 0, d * d * sizeof *ret);
    for (size_t start = 0; start < n && start < TURN_SAMPLES; start += TURN_BLOCK) {
        size_t count = n - start < TURN_BLOCK ? n - start : TURN_BLOCK;
        decode_rotated(codebook, codes + start * CODEBOOK_PARTS, count, decoded);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)d, (int)d, (int)count, 1,
                    samples + start * d, (int)d, decoded, (int)d, 1, ret, (int)d);
    }
}

/* U * V^T of @matrix = U * S * V^T, which is lost. */
static enum status_code nearest_rotation(float *matrix, size_t size, float *ret, struct status *st)
{
    int d = (int)size;
    int floats = 7 * d + 4 * d * d; /* what the documentation of SGESDD asks for */
    float *left = training_allocate(size, size * sizeof *left);
    float *right = training_allocate(size, size * sizeof *right);
    float *values = training_allocate(size, sizeof *values);
    float *work = training_allocate((size_t)floats, sizeof *work);
    int *int_work = training_allocate(8 * size, sizeof *int_work);
    int info = 0;

    if (left == NULL || right == NULL || values == NULL || work == NULL || int_work == NULL) {
        no_memory(st);
        goto out;
    }
    sgesdd_("A", &d, &d, matrix, &d, values, left, &d, right, &d, work, &floats, int_work, &info);
    if (info != 0) {
        status_set(st, STATUS_INTERNAL, "SGESDD failed with %d", info);
        goto out;
    }
    /* Column by column the matrix is its transpose, V * S * U^T, and so is the result. */
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, d, d, d, 1, left, d, right, d, 0, ret,
                d);
out:
    free(left);
    free(right);
    free(values);
    free(work);
    free(int_work);
    return st->code;
}

enum status_code rotation_turn(const struct codebook *codebook, const float *samples, size_t n,
                               const uint8_t *codes, float *ret_rotation, struct status *st)
{
    size_t d = codebook->info.dimension;
    float *matrix = training_allocate(d, d * sizeof *matrix);
    float *decoded = training_allocate(TURN_BLOCK, d * sizeof *decoded);

    if (matrix == NULL || decoded == NULL) {
        no_memory(st);
    } else {
        correlate(codebook, samples, n, codes, decoded, matrix);
        nearest_rotation(matrix, d, ret_rotation, st);
    }
    free(matrix);
    free(decoded);
    return st->code;
}

void rotation_quantise(const float *rotation, struct codebook *codebook)
{
    size_t d = codebook->info.dimension;

    for (size_t j = 0; j < d; j++) {
        float largest = 0;
        for (size_t i = 0; i < d; i++)
            largest = fmaxf(largest, fabsf(rotation[i * d + j]));
        codebook->column_factors[j] = largest / CODEBOOK_TOP;
        for (size_t i = 0; i < d; i++)
            codebook->rotation[i * d + j] =
                (int8_t)lrintf(rotation[i * d + j] / codebook->column_factors[j]);
    }
}
