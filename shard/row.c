#include "shard/row.h"

#include "src/vector/refine.h"

enum status_code row_check(const struct concept_id *id, const struct store_vector *vector,
                           struct status *st)
{
    if (refine_row_valid(vector->refinement, vector->refinement_size, LIMIT_DIMENSION))
        return STATUS_OK;
    return status_set(st, STATUS_DATA_LOSS, "the vector of '%.*s' is damaged", (int)id->length,
                      id->data);
}

enum status_code row_get_vectors(struct store *store, const struct concept_id *ids, size_t n,
                                 struct arena *arena, struct store_vector *ret_vectors,
                                 struct status *st)
{
    if (store_get_vectors(store, ids, n, arena, ret_vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        if (ret_vectors[i].refinement != NULL)
            row_check(&ids[i], &ret_vectors[i], st);
    return st->code;
}

void row_decode(const void *row, float ret_unit[LIMIT_DIMENSION])
{
    refine_decode(row, LIMIT_DIMENSION, ret_unit);
    vector_normalise(ret_unit, LIMIT_DIMENSION);
}
