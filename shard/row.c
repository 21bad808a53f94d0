#include "shard/row.h"

#include <string.h>

static const char NONE[] = "none";

bool row_policy_parse(const char *name, struct row_policy *ret)
{
    bool none = strcmp(name, NONE) == 0;

    *ret = (struct row_policy){ none ? REFINE_INT8 : refine_format_parse(name), !none };
    return ret->format != REFINE_FORMATS;
}

const char *row_policy_name(struct row_policy policy)
{
    return policy.kept ? refine_format_name(policy.format) : NONE;
}

uint32_t row_policy_number(struct row_policy policy)
{
    return policy.kept ? (uint32_t)policy.format : (uint32_t)REFINE_FORMATS;
}

static enum status_code damaged(const struct concept_id *id, struct status *st)
{
    return status_set(st, STATUS_DATA_LOSS, "the vector of '%.*s' is damaged", (int)id->length,
                      id->data);
}

static void make_row(const struct codebook *codebook, const uint8_t *code, uint8_t *ret_row)
{
    float unit[LIMIT_DIMENSION];

    codebook_decode(codebook, code, unit);
    vector_normalise(unit, LIMIT_DIMENSION);
    refine_encode(REFINE_INT8, unit, LIMIT_DIMENSION, ret_row);
}

enum status_code row_complete(struct row_policy policy, const struct codebook *codebook,
                              const struct concept_id *id, struct store_vector *vector,
                              uint8_t scratch[ROW_MAX_BYTES], struct status *st)
{
    bool coded_only = !policy.kept && vector->refinement_size == 0 && vector->code != NULL;

    if (!coded_only)
        return refine_row_valid(policy.format, vector->refinement, vector->refinement_size,
                                LIMIT_DIMENSION)
                   ? STATUS_OK
                   : damaged(id, st);
    if (codebook == NULL || codebook_info(codebook)->code_version != vector->codebook_version)
        return damaged(id, st);
    make_row(codebook, vector->code, scratch);
    vector->refinement = scratch;
    vector->refinement_size = row_bytes(policy);
    return STATUS_OK;
}

void row_decode(struct row_policy policy, const void *row, float ret_unit[LIMIT_DIMENSION])
{
    refine_decode(policy.format, row, LIMIT_DIMENSION, ret_unit);
    vector_normalise(ret_unit, LIMIT_DIMENSION);
}
