#ifndef SUTRA_VECTOR_CODEBOOK_IMPL_H
#define SUTRA_VECTOR_CODEBOOK_IMPL_H

/**
 * What the files of the codebook share; nobody else includes this.
 *
 * The path of a row, all in integers but for one factor per value: its int8 values times the int8
 * rotation give int32 sums; times column factor / |values| / step, rounded, they are the rotated
 * row, int8 in units of `step`, in which the centroids are, too.
 */

#include "src/vector/codebook.h"

#include <math.h>
#include <stdatomic.h>

#include "src/vector/kernel.h"

enum { CODEBOOK_TOP = 127 }; /* of rotation, rotated rows, centroids and cells, either sign */

struct codebook {
    atomic_size_t references;
    struct codebook_info info;
    size_t part_width; /* w = d / 48 */
    float step;        /* what 1 of a rotated row and of a centroid is worth */
    float cell_unit;   /* what 1 of a cell is worth */

    /* One block, freed by its first member, all parts of it 64-byte aligned. What is written: */
    float *column_factors; /* [d]: the rotation is column_factors[j] * rotation[i][j] */
    int8_t *rotation;      /* [d][d] */
    int8_t *centroids;     /* [48][256][w] */
    int8_t *cells;         /* [l][d] */
    /* And what codebook_complete() derives from it, in the orders that the kernels read: */
    float *row_factors;        /* [d], column_factors / step */
    uint8_t *packed_rotation;  /* [d / 16][d / 4][16][4] */
    uint8_t *packed_centroids; /* [48][16][w / 4][16][4] */
    uint8_t *packed_cells;     /* [l / 16][d / 4][16][4] */
    uint8_t *cell_codes;       /* codes of the cells, [l / 256, rounded up][48][256] */
    int32_t *half_norms;       /* [48][256], |c|^2 / 2 in steps^2 */
    float *columns;            /* [48][w][256], centroids * step */
    float *penalties;          /* [48][256], CODEBOOK_BETA * |c|^2 */
};

/**
 * A code stands for a vector shorter than its own, and the more it lost, the more q.c is in doubt.
 * Taking beta * |c|^2 off favours what is near over what is merely long: 0.5 would order by
 * distance, 0 by product. Measured optimum for recall, flat between 0.25 and 0.35.
 */
#define CODEBOOK_BETA 0.3f

bool codebook_dimension_valid(size_t d);

bool codebook_cells_valid(size_t cells);

/** The written members and info to be filled, then codebook_complete(). NULL without memory. */
struct codebook *codebook_new(size_t d, size_t cells);

void codebook_complete(struct codebook *codebook);

/** codebook_complete() of one thing each, for training, which changes them often. */
void codebook_complete_rotation(struct codebook *codebook);
void codebook_complete_centroids(struct codebook *codebook);
void codebook_complete_cells(struct codebook *codebook);

/** The rotated rows, @ret_rotated [n][d], any alignment. */
void codebook_rotate(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     int8_t *ret_rotated);

static inline int8_t *codebook_part(const struct codebook *codebook, size_t part)
{
    return codebook->centroids + part * codebook->part_width * CODEBOOK_CENTROIDS;
}

/** Who is told how far a training is, and may end it. */
struct training_watch {
    const struct codebook_train_options *options;
    double from; /* of the whole, what the present phase begins and ends with */
    double to;
};

/** Reports @fraction of the present phase; CANCELLED if so wished. */
enum status_code training_watch(const struct training_watch *watch, double fraction,
                                struct status *st);

/**
 * Learns the cells of @codebook (spherical k-means: Dhillon, Modha, 2001) from @values [n][d],
 * n >= the cells; completed by codebook_complete_cells(). RESOURCE_EXHAUSTED, CANCELLED.
 */
enum status_code codebook_train_cells(struct codebook *codebook, const int8_t *values, size_t n,
                                      const struct training_watch *watch, struct status *st);

/** A block aligned to 64 bytes; NULL without memory, or if its size overflows. */
void *training_allocate(size_t count, size_t size);

/** The int8 values of @samples [n][d]. */
void training_quantise(const float *samples, size_t n, size_t d, int8_t *ret_values);

/** Whether every sample is about a unit vector; INVALID_ARGUMENT names one that is not. */
enum status_code training_check_samples(const float *samples, size_t n, size_t d,
                                        struct status *st);

#endif
