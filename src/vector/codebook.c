#include "src/vector/codebook.h"

#include <stdlib.h>
#include <string.h>

#include "src/vector/codebook_impl.h"
#include "src/vector/refine.h"

enum {
    NORMS = CODEBOOK_PARTS * CODEBOOK_CENTROIDS,
    CHUNK_VALUES = 24576, /* of rotated rows on the stack: 64 rows at d = 384 */
    CHUNK_ROWS = CHUNK_VALUES / (4 * CODEBOOK_PARTS),
    TILE_ROWS = 16,
};

/* In whole tiles where there is room for one: the rest of a chunk would cost as much as a tile. */
static size_t chunk_rows(size_t d)
{
    size_t rows = CHUNK_VALUES / d;

    return rows < TILE_ROWS ? rows : rows / TILE_ROWS * TILE_ROWS;
}

/* Sixteen columns of a packed matrix come from sixteen values, four dimensions at a time. */
bool codebook_dimension_valid(size_t d)
{
    return d > 0 && d <= VECTOR_MAX_DIMENSION && d % (size_t)(4 * CODEBOOK_PARTS) == 0;
}

bool codebook_cells_valid(size_t cells)
{
    return cells <= CODEBOOK_MAX_CELLS && cells % KERNEL_COLUMNS == 0;
}

/* The next @bytes of a block, or, with no block yet, only their place in it. */
static void *carve(uint8_t *block, size_t *offset, size_t bytes)
{
    void *place = block == NULL ? NULL : block + *offset;

    *offset += (bytes + 63) & ~(size_t)63;
    return place;
}

static size_t groups_of(size_t cells)
{
    return (cells + KERNEL_GROUP - 1) / KERNEL_GROUP;
}

static size_t lay_out(struct codebook *codebook, uint8_t *block, size_t d, size_t cells)
{
    size_t offset = 0;

    codebook->column_factors = carve(block, &offset, d * sizeof(float));
    codebook->rotation = carve(block, &offset, d * d);
    codebook->centroids = carve(block, &offset, d * CODEBOOK_CENTROIDS);
    codebook->cells = carve(block, &offset, cells * d);
    codebook->row_factors = carve(block, &offset, d * sizeof(float));
    codebook->packed_rotation = carve(block, &offset, d * d);
    codebook->packed_centroids = carve(block, &offset, d * CODEBOOK_CENTROIDS);
    codebook->packed_cells = carve(block, &offset, cells * d);
    codebook->cell_codes = carve(block, &offset, groups_of(cells) * KERNEL_GROUP * CODEBOOK_PARTS);
    codebook->half_norms = carve(block, &offset, NORMS * sizeof(int32_t));
    codebook->columns = carve(block, &offset, d * CODEBOOK_CENTROIDS * sizeof(float));
    codebook->penalties = carve(block, &offset, NORMS * sizeof(float));
    return offset;
}

struct codebook *codebook_new(size_t d, size_t cells)
{
    struct codebook *codebook = calloc(1, sizeof *codebook);
    uint8_t *block = codebook == NULL ? NULL : aligned_alloc(64, lay_out(codebook, NULL, d, cells));

    if (block == NULL) {
        free(codebook);
        return NULL;
    }
    lay_out(codebook, block, d, cells);
    atomic_init(&codebook->references, 1);
    codebook->info.dimension = d;
    codebook->info.cells = (uint32_t)cells;
    codebook->part_width = d / CODEBOOK_PARTS;
    return codebook;
}

/* Packs the columns that @rows [count][d] are when they stand upright, sixteen at a time. */
static void pack_upright(const int8_t *rows, size_t count, size_t d, uint8_t *ret_packed)
{
    int8_t upright[VECTOR_MAX_DIMENSION * KERNEL_COLUMNS];

    for (size_t first = 0; first < count; first += KERNEL_COLUMNS) {
        for (size_t k = 0; k < d; k++)
            for (size_t c = 0; c < KERNEL_COLUMNS; c++)
                upright[k * KERNEL_COLUMNS + c] = rows[(first + c) * d + k];
        vector_kernel_pack(upright, d, KERNEL_COLUMNS, ret_packed + first * d);
    }
}

void codebook_complete_rotation(struct codebook *codebook)
{
    size_t d = codebook->info.dimension;

    vector_kernel_pack(codebook->rotation, d, d, codebook->packed_rotation);
    for (size_t j = 0; j < d; j++)
        codebook->row_factors[j] = codebook->column_factors[j] / codebook->step;
}

static int32_t squared_length(const int8_t *values, size_t d)
{
    int32_t sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += values[i] * values[i];
    return sum;
}

static void complete_part(struct codebook *codebook, size_t part)
{
    size_t w = codebook->part_width;
    const int8_t *centroids = codebook_part(codebook, part);
    float *columns = codebook->columns + part * w * CODEBOOK_CENTROIDS;
    float unit = codebook->step * codebook->step;

    pack_upright(centroids, CODEBOOK_CENTROIDS, w,
                 codebook->packed_centroids + part * w * CODEBOOK_CENTROIDS);
    for (size_t c = 0; c < CODEBOOK_CENTROIDS; c++) {
        size_t norm = part * CODEBOOK_CENTROIDS + c;
        int32_t squares = squared_length(centroids + c * w, w);
        codebook->half_norms[norm] = squares / 2;
        codebook->penalties[norm] = CODEBOOK_BETA * ((float)squares * unit);
        for (size_t k = 0; k < w; k++)
            columns[k * CODEBOOK_CENTROIDS + c] = codebook->step * (float)centroids[c * w + k];
    }
}

void codebook_complete_centroids(struct codebook *codebook)
{
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        complete_part(codebook, p);
}

void codebook_complete_cells(struct codebook *codebook)
{
    pack_upright(codebook->cells, codebook->info.cells, codebook->info.dimension,
                 codebook->packed_cells);
}

/* A cell is a unit vector, up to rounding. */
static void complete_cell_unit(struct codebook *codebook)
{
    size_t d = codebook->info.dimension;
    int32_t squares = 1;

    for (size_t c = 0; c < codebook->info.cells; c++) {
        int32_t length = squared_length(codebook->cells + c * d, d);
        squares = length > squares ? length : squares;
    }
    codebook->cell_unit = 1.0f / sqrtf((float)squares);
}

/* Codes of cells, in groups as vector_kernel.scan() wants them; behind the last cell lies anything.
 */
static void complete_cell_codes(struct codebook *codebook)
{
    size_t d = codebook->info.dimension;
    size_t cells = codebook->info.cells;
    uint8_t codes[KERNEL_GROUP][CODEBOOK_CODE_BYTES] = { { 0 } };

    for (size_t first = 0; first < cells; first += KERNEL_GROUP) {
        uint8_t *group = codebook->cell_codes + first * CODEBOOK_PARTS;
        size_t count = cells - first < KERNEL_GROUP ? cells - first : KERNEL_GROUP;
        codebook_encode(codebook, codebook->cells + first * d, d, count, codes[0], NULL, NULL);
        for (size_t p = 0; p < CODEBOOK_PARTS; p++)
            for (size_t c = 0; c < KERNEL_GROUP; c++)
                group[p * KERNEL_GROUP + c] = codes[c][p];
    }
}

void codebook_complete(struct codebook *codebook)
{
    codebook_complete_rotation(codebook);
    codebook_complete_centroids(codebook);
    codebook_complete_cells(codebook);
    complete_cell_unit(codebook);
    complete_cell_codes(codebook);
}

struct codebook *codebook_ref(struct codebook *codebook)
{
    atomic_fetch_add_explicit(&codebook->references, 1, memory_order_relaxed);
    return codebook;
}

void codebook_unref(struct codebook *codebook)
{
    if (codebook == NULL ||
        atomic_fetch_sub_explicit(&codebook->references, 1, memory_order_acq_rel) > 1)
        return;
    free(codebook->column_factors);
    free(codebook);
}

const struct codebook_info *codebook_info(const struct codebook *codebook)
{
    return &codebook->info;
}

static void rotate_chunk(const struct codebook *codebook, const int8_t *values, size_t stride,
                         size_t n, int8_t *ret_rotated)
{
    int32_t sums[CHUNK_VALUES] __attribute__((aligned(64)));
    const struct vector_kernel *kernel = vector_kernel();
    size_t d = codebook->info.dimension;

    kernel->products(values, stride, n, d, codebook->packed_rotation, d, sums);
    for (size_t i = 0; i < n; i++)
        kernel->requantise(sums + i * d, codebook->row_factors,
                           refine_inverse_length(values + i * stride, d), d, ret_rotated + i * d);
}

void codebook_rotate(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     int8_t *ret_rotated)
{
    size_t d = codebook->info.dimension;
    size_t chunk = chunk_rows(d);

    for (size_t start = 0; start < n; start += chunk)
        rotate_chunk(codebook, values + start * stride, stride,
                     n - start < chunk ? n - start : chunk, ret_rotated + start * d);
}

/* |row - centroids|^2 = |row|^2 - 2 (row.centroids - |centroids|^2 / 2), where @best is the
 * bracket.
 */
static float error_of(const struct codebook *codebook, const int8_t *rotated, int32_t best)
{
    size_t d = codebook->info.dimension;
    int32_t squares = vector_kernel()->dot_i8(rotated, rotated, d) - 2 * best;

    return (float)squares * (codebook->step * codebook->step);
}

static void encode_chunk(const struct codebook *codebook, const int8_t *values, size_t stride,
                         size_t n, uint8_t *ret_codes, float *ret_errors)
{
    int8_t rotated[CHUNK_VALUES] __attribute__((aligned(64)));
    int32_t best[CHUNK_ROWS] __attribute__((aligned(64)));

    rotate_chunk(codebook, values, stride, n, rotated);
    vector_kernel()->encode(rotated, n, CODEBOOK_PARTS, codebook->part_width,
                            codebook->packed_centroids, codebook->half_norms, ret_codes,
                            ret_errors == NULL ? NULL : best);
    for (size_t i = 0; ret_errors != NULL && i < n; i++)
        ret_errors[i] = error_of(codebook, rotated + i * codebook->info.dimension, best[i]);
}

void codebook_encode(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     uint8_t *ret_codes, uint32_t *ret_cells, float *ret_errors)
{
    size_t chunk = chunk_rows(codebook->info.dimension);

    for (size_t start = 0; start < n; start += chunk)
        encode_chunk(codebook, values + start * stride, stride,
                     n - start < chunk ? n - start : chunk, ret_codes + start * CODEBOOK_PARTS,
                     ret_errors == NULL ? NULL : ret_errors + start);
    if (ret_cells != NULL)
        codebook_assign(codebook, values, stride, n, ret_cells);
}

/* The rotated row that a code stands for, [d]. Copies of a known length are single moves. */
__attribute__((always_inline)) static inline void
gather_width(const struct codebook *codebook, const uint8_t *code, size_t w, int8_t *ret)
{
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        memcpy(ret + p * w, codebook->centroids + (p * CODEBOOK_CENTROIDS + code[p]) * w, w);
}

void codebook_decode_rotated(const struct codebook *codebook,
                             const uint8_t code[CODEBOOK_CODE_BYTES], int8_t *ret)
{
    if (codebook->part_width == 8) /* d = 384 */
        gather_width(codebook, code, 8, ret);
    else if (codebook->part_width == 16)
        gather_width(codebook, code, 16, ret);
    else
        gather_width(codebook, code, codebook->part_width, ret);
}

void codebook_decode(const struct codebook *codebook, const uint8_t code[CODEBOOK_CODE_BYTES],
                     float *ret_vector)
{
    int8_t rotated[VECTOR_MAX_DIMENSION];
    float scaled[VECTOR_MAX_DIMENSION];
    size_t d = codebook->info.dimension;

    codebook_decode_rotated(codebook, code, rotated);
    for (size_t j = 0; j < d; j++)
        scaled[j] = (codebook->step * codebook->column_factors[j]) * (float)rotated[j];
    for (size_t i = 0; i < d; i++) {
        const int8_t *row = codebook->rotation + i * d; /* the inverse is the transpose */
        ret_vector[i] = 0;
        for (size_t j = 0; j < d; j++)
            ret_vector[i] += (float)row[j] * scaled[j];
    }
}

float codebook_rotated_similarity(const int8_t *a, const int8_t *b, size_t d)
{
    return (float)vector_kernel()->dot_i8(a, b, d) *
           (refine_inverse_length(a, d) * refine_inverse_length(b, d));
}

float codebook_similarity(const struct codebook *codebook, const uint8_t a[CODEBOOK_CODE_BYTES],
                          const uint8_t b[CODEBOOK_CODE_BYTES])
{
    int8_t rotated_a[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    int8_t rotated_b[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));

    codebook_decode_rotated(codebook, a, rotated_a);
    codebook_decode_rotated(codebook, b, rotated_b);
    return codebook_rotated_similarity(rotated_a, rotated_b, codebook->info.dimension);
}
