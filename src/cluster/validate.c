#include "src/cluster/validate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/serve/limits.h"
#include "src/vector/refine.h"

enum { ROW_BYTES = LIMIT_DIMENSION * sizeof(float) };

static const float STRENGTH_MAX = 10;
static const float CONFIDENCE_MAX = 1;
static const float WEIGHT_MAX = 5;

enum status_code validate_count(const char *field, size_t count, size_t limit, struct status *st)
{
    if (count <= limit)
        return STATUS_OK;
    status_set_field(st, field, "%s has %zu entries, the limit is %zu", field, count, limit);
    return st->code;
}

static enum status_code check_size(const char *field, size_t length, size_t limit,
                                   struct status *st)
{
    if (length > limit)
        return status_set_field(st, field, "%s has %zu bytes, the limit is %zu", field, length,
                                limit);
    return STATUS_OK;
}

static enum status_code check_length(const char *field, const char *text, size_t limit,
                                     struct status *st)
{
    return check_size(field, strlen(text), limit, st);
}

enum status_code validate_content(size_t length, struct status *st)
{
    return check_size("content", length, LIMIT_CONTENT_BYTES, st);
}

/* Written so that NaN fails. */
static enum status_code check_range(const char *field, float value, float max, struct status *st)
{
    if (value >= 0 && value <= max)
        return STATUS_OK;
    return status_set_field(st, field, "%s is %g, it takes 0 to %g", field, (double)value,
                            (double)max);
}

static enum status_code check_type(Sutra__V1__AssociationType type, struct status *st)
{
    if (type >= SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_UNSPECIFIED &&
        type <= SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_COMPOSITIONAL)
        return STATUS_OK;
    return status_set_field(st, "type", "association type %d does not exist", (int)type);
}

enum status_code validate_id(const char *id, struct concept_id *ret, struct status *st)
{
    return concept_id_parse(id, strlen(id), ret, st);
}

void validate_name_field(struct status *st, const char *field)
{
    snprintf(st->field, sizeof st->field, "%s", field);
    status_wrap(st, "%s", field);
}

static enum status_code check_end(const char *field, const char *id, struct status *st)
{
    struct concept_id parsed;

    if (validate_id(id, &parsed, st) != STATUS_OK)
        validate_name_field(st, field);
    return st->code;
}

/* Why there is no vector of length 1 in this direction. */
static enum status_code explain_no_unit(const float *values, struct status *st)
{
    for (size_t i = 0; i < LIMIT_DIMENSION; i++)
        if (!isfinite(values[i]))
            return status_set_field(st, "embedding", "embedding[%zu] is not a finite number", i);
    return status_set_field(st, "embedding", "embedding is all zero");
}

/* Where the [LIMIT_DIMENSION] floats of either form are, at any alignment. */
static enum status_code find_values(const Sutra__V1__Embedding *embedding, void **ret_values,
                                    struct status *st)
{
    const bool as_values = embedding->n_values > 0;
    const size_t n = as_values ? embedding->n_values : embedding->f32le.len / sizeof(float);

    if (as_values && embedding->f32le.len > 0)
        return status_set_field(st, "embedding", "embedding has both values and f32le");
    if (embedding->f32le.len % sizeof(float) != 0)
        return status_set_field(st, "embedding",
                                "embedding.f32le has %zu bytes, not a multiple of 4",
                                embedding->f32le.len);
    if (n != LIMIT_DIMENSION)
        return status_set_field(st, "embedding",
                                "embedding has %zu dimensions, this cluster has %d", n,
                                LIMIT_DIMENSION);
    *ret_values = as_values ? (void *)embedding->values : embedding->f32le.data;
    return STATUS_OK;
}

static enum status_code make_unit(float *values, struct status *st)
{
    return vector_normalise(values, LIMIT_DIMENSION) ? STATUS_OK : explain_no_unit(values, st);
}

enum status_code validate_embedding(const Sutra__V1__Embedding *embedding, struct arena *arena,
                                    float **ret_unit, struct status *st)
{
    void *values;

    if (find_values(embedding, &values, st) != STATUS_OK)
        return st->code;
    *ret_unit = arena_copy(arena, values, ROW_BYTES);
    return *ret_unit == NULL ? limit_call_memory(st) : make_unit(*ret_unit, st);
}

/* float32 in memory is what f32le means on the wire. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "embeddings are little-endian");

static enum status_code normalise_embedding(Sutra__V1__Embedding *embedding, struct arena *arena,
                                            struct status *st)
{
    void *values;

    if (find_values(embedding, &values, st) != STATUS_OK)
        return st->code;
    if ((uintptr_t)values % _Alignof(float) != 0)
        values = arena_copy(arena, values, ROW_BYTES);
    if (values == NULL)
        return limit_call_memory(st);
    embedding->n_values = 0;
    embedding->f32le.data = values;
    embedding->f32le.len = ROW_BYTES;
    return make_unit(values, st);
}

static enum status_code check_attribute(const Sutra__V1__ConceptInput__AttributesEntry *entry,
                                        struct status *st)
{
    if (check_length("attributes", entry->key, LIMIT_ATTRIBUTE_BYTES, st) == STATUS_OK)
        check_length("attributes", entry->value, LIMIT_ATTRIBUTE_BYTES, st);
    return st->code;
}

/* A map's later entry of one key replaces the earlier, as protobuf says. */
static void drop_repeated_keys(Sutra__V1__ConceptInput *input)
{
    size_t kept = 0;

    for (size_t i = 0; i < input->n_attributes; i++) {
        bool repeated = false;
        for (size_t j = i + 1; j < input->n_attributes; j++)
            repeated |= strcmp(input->attributes[i]->key, input->attributes[j]->key) == 0;
        if (!repeated)
            input->attributes[kept++] = input->attributes[i];
    }
    input->n_attributes = kept;
}

static enum status_code check_attributes(Sutra__V1__ConceptInput *input, struct status *st)
{
    if (validate_count("attributes", input->n_attributes, LIMIT_ATTRIBUTES, st) != STATUS_OK)
        return st->code;
    drop_repeated_keys(input);
    for (size_t i = 0; i < input->n_attributes; i++)
        if (check_attribute(input->attributes[i], st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

/* All but the source. Gives it a type. */
static enum status_code check_edge(Sutra__V1__Association *association, struct status *st)
{
    if (check_end("target", association->target, st) != STATUS_OK ||
        check_type(association->type, st) != STATUS_OK ||
        check_length("label", association->label, LIMIT_LABEL_BYTES, st) != STATUS_OK)
        return st->code;
    if (association->optional_weight_case == SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT &&
        check_range("weight", association->weight, WEIGHT_MAX, st) != STATUS_OK)
        return st->code;
    if (association->optional_confidence_case ==
            SUTRA__V1__ASSOCIATION__OPTIONAL_CONFIDENCE_CONFIDENCE &&
        check_range("confidence", association->confidence, CONFIDENCE_MAX, st) != STATUS_OK)
        return st->code;
    if (association->type == SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_UNSPECIFIED)
        association->type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC;
    return STATUS_OK;
}

enum status_code validate_association(Sutra__V1__Association *association, struct status *st)
{
    if (check_end("source", association->source, st) != STATUS_OK)
        return st->code;
    return check_edge(association, st);
}

enum status_code validate_key(const Sutra__V1__AssociationKey *key, struct status *st)
{
    if (check_end("source", key->source, st) != STATUS_OK ||
        check_end("target", key->target, st) != STATUS_OK || check_type(key->type, st) != STATUS_OK)
        return st->code;
    return check_length("label", key->label, LIMIT_LABEL_BYTES, st);
}

static enum status_code check_associations(Sutra__V1__ConceptInput *input, struct status *st)
{
    if (validate_count("associations", input->n_associations, LIMIT_ASSOCIATIONS, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < input->n_associations; i++) {
        Sutra__V1__Association *association = input->associations[i];
        if (association->source[0] != '\0')
            status_set_field(st, "source", "source is given; it is the concept itself");
        else
            check_edge(association, st);
        if (st->code != STATUS_OK) {
            status_prefix_field(st, "associations[%zu]", i);
            return st->code;
        }
    }
    return STATUS_OK;
}

enum status_code validate_new_id(struct text_view id, struct text_view content, struct arena *arena,
                                 struct concept_id *ret, struct status *st)
{
    char *hex;

    if (id.length > 0)
        return concept_id_parse(id.data, id.length, ret, st);
    if (content.length == 0)
        return status_set_field(st, "id", "id and content are both empty");
    hex = arena_alloc(arena, CONCEPT_ID_CONTENT_HEX + 1);
    if (hex == NULL)
        return limit_call_memory(st);
    concept_id_of_content(content.data, content.length, hex);
    return concept_id_parse(hex, CONCEPT_ID_CONTENT_HEX, ret, st);
}

/* Both texts of the result end with a NUL. */
static enum status_code resolve_id(Sutra__V1__ConceptInput *input, struct arena *arena,
                                   struct concept_id *ret, struct status *st)
{
    const struct text_view id = { input->id, strlen(input->id) };
    const struct text_view content = { input->content, strlen(input->content) };

    if (validate_new_id(id, content, arena, ret, st) == STATUS_OK)
        input->id = (char *)(uintptr_t)ret->data;
    return st->code;
}

static enum status_code check_scalars(const Sutra__V1__ConceptInput *input, struct status *st)
{
    if (validate_content(strlen(input->content), st) != STATUS_OK ||
        check_length("source", input->source, LIMIT_ATTRIBUTE_BYTES, st) != STATUS_OK ||
        check_length("category", input->category, LIMIT_ATTRIBUTE_BYTES, st) != STATUS_OK)
        return st->code;
    if (input->optional_strength_case == SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH &&
        check_range("strength", input->strength, STRENGTH_MAX, st) != STATUS_OK)
        return st->code;
    if (input->optional_confidence_case ==
            SUTRA__V1__CONCEPT_INPUT__OPTIONAL_CONFIDENCE_CONFIDENCE &&
        check_range("confidence", input->confidence, CONFIDENCE_MAX, st) != STATUS_OK)
        return st->code;
    if (input->created_us < 0)
        return status_set_field(st, "created_us", "created_us is %lld, before the epoch",
                                (long long)input->created_us);
    return STATUS_OK;
}

enum status_code validate_input(Sutra__V1__ConceptInput *input, struct arena *arena,
                                struct concept_id *ret_id, struct status *st)
{
    if (check_scalars(input, st) != STATUS_OK ||
        resolve_id(input, arena, ret_id, st) != STATUS_OK ||
        check_attributes(input, st) != STATUS_OK || check_associations(input, st) != STATUS_OK)
        return st->code;
    if (input->embedding != NULL)
        return normalise_embedding(input->embedding, arena, st);
    return STATUS_OK;
}

enum status_code validate_search_size(struct search_size *size, struct status *st)
{
    if (size->k < 1 || size->k > LIMIT_K)
        return status_set_field(st, "k", "k is %u, it takes 1 to %d", size->k, LIMIT_K);
    if (size->rerank > LIMIT_RERANK)
        return status_set_field(st, "rerank", "rerank is %u, the limit is %d", size->rerank,
                                LIMIT_RERANK);
    if (!(size->recall_target >= 0 && size->recall_target <= 1))
        return status_set_field(st, "recall_target", "recall_target is %g, it takes 0 to 1",
                                (double)size->recall_target);
    if (size->recall_target > 0 && (size->rerank > 0 || size->nprobe > 0 || size->exact))
        return status_set_field(st, "recall_target",
                                "recall_target chooses rerank and nprobe: give one or the others");
    if (size->rerank > 0 && size->rerank < size->k)
        size->rerank = size->k;
    return STATUS_OK;
}
