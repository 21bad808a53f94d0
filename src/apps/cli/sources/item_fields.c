#include "src/apps/cli/sources/item_fields.h"

#include <stdint.h>
#include <string.h>

static enum status_code out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "the item is too big");
}

static enum status_code wrong_type(const char *key, const char *wanted, struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is not %s", key, wanted);
}

Sutra__V1__ConceptInput *item_new(struct arena *arena)
{
    Sutra__V1__ConceptInput *item = arena_alloc(arena, sizeof *item);

    if (item != NULL)
        sutra__v1__concept_input__init(item);
    return item;
}

static enum status_code copy_string(const char *key, const json_t *value, struct arena *arena,
                                    char **ret, struct status *st)
{
    char *copy;

    if (!json_is_string(value))
        return wrong_type(key, "a string", st);
    copy = arena_strndup(arena, json_string_value(value), json_string_length(value));
    if (copy == NULL)
        return out_of_memory(st);
    *ret = copy;
    return STATUS_OK;
}

static enum status_code read_float(const char *key, const json_t *value, float *ret,
                                   struct status *st)
{
    if (!json_is_number(value))
        return wrong_type(key, "a number", st);
    *ret = (float)json_number_value(value);
    return STATUS_OK;
}

/* Each field of a concept has a reader. */
typedef enum status_code field_reader(Sutra__V1__ConceptInput *item, const char *key,
                                      const json_t *value, struct arena *arena, struct status *st);

static char **text_field(Sutra__V1__ConceptInput *item, const char *key)
{
    if (strcmp(key, "id") == 0)
        return &item->id;
    if (strcmp(key, "source") == 0)
        return &item->source;
    if (strcmp(key, "category") == 0)
        return &item->category;
    return &item->content;
}

static enum status_code read_text(Sutra__V1__ConceptInput *item, const char *key,
                                  const json_t *value, struct arena *arena, struct status *st)
{
    return copy_string(key, value, arena, text_field(item, key), st);
}

static enum status_code read_strength(Sutra__V1__ConceptInput *item, const char *key,
                                      const json_t *value, struct arena *arena, struct status *st)
{
    (void)arena;
    if (read_float(key, value, &item->strength, st) == STATUS_OK)
        item->optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    return st->code;
}

static enum status_code read_confidence(Sutra__V1__ConceptInput *item, const char *key,
                                        const json_t *value, struct arena *arena, struct status *st)
{
    (void)arena;
    if (read_float(key, value, &item->confidence, st) == STATUS_OK)
        item->optional_confidence_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_CONFIDENCE_CONFIDENCE;
    return st->code;
}

static enum status_code read_created(Sutra__V1__ConceptInput *item, const char *key,
                                     const json_t *value, struct arena *arena, struct status *st)
{
    (void)arena;
    if (!json_is_integer(value))
        return wrong_type(key, "an integer", st);
    item->created_us = json_integer_value(value);
    return STATUS_OK;
}

static enum status_code read_embedding(Sutra__V1__ConceptInput *item, const char *key,
                                       const json_t *value, struct arena *arena, struct status *st)
{
    size_t count = json_array_size(value);
    Sutra__V1__Embedding *embedding = arena_alloc(arena, sizeof *embedding);

    if (!json_is_array(value))
        return wrong_type(key, "an array of numbers", st);
    if (embedding == NULL)
        return out_of_memory(st);
    sutra__v1__embedding__init(embedding);
    embedding->values = arena_calloc(arena, count, sizeof *embedding->values);
    if (embedding->values == NULL)
        return out_of_memory(st);
    embedding->n_values = count;
    for (size_t i = 0; i < count; i++)
        if (read_float(key, json_array_get(value, i), &embedding->values[i], st) != STATUS_OK)
            return st->code;
    item->embedding = embedding;
    return STATUS_OK;
}

/* Room for one more: the array doubles whenever its length is a power of two. */
static bool grow_attributes(Sutra__V1__ConceptInput *item, struct arena *arena)
{
    size_t count = item->n_attributes;
    Sutra__V1__ConceptInput__AttributesEntry **entries;

    if ((count & (count - 1)) != 0)
        return true;
    entries = arena_calloc(arena, count == 0 ? 1 : 2 * count, sizeof *entries);
    if (entries == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        entries[i] = item->attributes[i];
    item->attributes = entries;
    return true;
}

enum status_code item_add_attribute(Sutra__V1__ConceptInput *item, const char *key,
                                    const char *value, struct arena *arena, struct status *st)
{
    Sutra__V1__ConceptInput__AttributesEntry *entry = arena_alloc(arena, sizeof *entry);

    if (entry == NULL || !grow_attributes(item, arena))
        return out_of_memory(st);
    sutra__v1__concept_input__attributes_entry__init(entry);
    entry->key = arena_strndup(arena, key, strlen(key));
    entry->value = arena_strndup(arena, value, strlen(value));
    if (entry->key == NULL || entry->value == NULL)
        return out_of_memory(st);
    item->attributes[item->n_attributes++] = entry;
    return STATUS_OK;
}

static enum status_code read_attributes(Sutra__V1__ConceptInput *item, const char *key,
                                        const json_t *value, struct arena *arena, struct status *st)
{
    const char *name;
    json_t *text;

    if (!json_is_object(value))
        return wrong_type(key, "an object of strings", st);
    json_object_foreach((json_t *)value, name, text)
    {
        if (!json_is_string(text))
            return wrong_type(key, "an object of strings", st);
        if (item_add_attribute(item, name, json_string_value(text), arena, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

bool association_type_parse(const char *name, Sutra__V1__AssociationType *ret)
{
    static const char *const NAMES[] = { "semantic", "causal", "temporal", "hierarchical",
                                         "compositional" };

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(name, NAMES[i]) == 0) {
            *ret =
                (Sutra__V1__AssociationType)(SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC +
                                             (int)i);
            return true;
        }
    return false;
}

static enum status_code set_association(Sutra__V1__Association *a, const char *key,
                                        const json_t *value, struct arena *arena, struct status *st)
{
    if (strcmp(key, "target") == 0)
        return copy_string(key, value, arena, &a->target, st);
    if (strcmp(key, "label") == 0)
        return copy_string(key, value, arena, &a->label, st);
    if (strcmp(key, "type") == 0) {
        if (!json_is_string(value) || !association_type_parse(json_string_value(value), &a->type))
            return wrong_type(key, "an association type", st);
        return STATUS_OK;
    }
    if (strcmp(key, "weight") == 0) {
        a->optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
        return read_float(key, value, &a->weight, st);
    }
    if (strcmp(key, "confidence") == 0) {
        a->optional_confidence_case = SUTRA__V1__ASSOCIATION__OPTIONAL_CONFIDENCE_CONFIDENCE;
        return read_float(key, value, &a->confidence, st);
    }
    return status_set(st, STATUS_INVALID_ARGUMENT, "unknown key '%.80s'", key);
}

static enum status_code read_association(const json_t *object, struct arena *arena,
                                         Sutra__V1__Association **ret, struct status *st)
{
    Sutra__V1__Association *a = arena_alloc(arena, sizeof *a);
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return status_set(st, STATUS_INVALID_ARGUMENT, "not an object");
    if (a == NULL)
        return out_of_memory(st);
    sutra__v1__association__init(a);
    json_object_foreach((json_t *)object, key, value)
    {
        if (!json_is_null(value) && set_association(a, key, value, arena, st) != STATUS_OK)
            return st->code;
    }
    *ret = a;
    return STATUS_OK;
}

static enum status_code read_associations(Sutra__V1__ConceptInput *item, const char *key,
                                          const json_t *value, struct arena *arena,
                                          struct status *st)
{
    size_t count = json_array_size(value);

    if (!json_is_array(value))
        return wrong_type(key, "an array of objects", st);
    item->associations = arena_calloc(arena, count, sizeof(Sutra__V1__Association *));
    if (item->associations == NULL)
        return out_of_memory(st);
    item->n_associations = count;
    for (size_t i = 0; i < count; i++)
        if (read_association(json_array_get(value, i), arena, &item->associations[i], st) !=
            STATUS_OK)
            return status_wrap(st, "%s[%zu]", key, i);
    return STATUS_OK;
}

/* What only the server sets. */
static enum status_code read_over(Sutra__V1__ConceptInput *item, const char *key,
                                  const json_t *value, struct arena *arena, struct status *st)
{
    (void)item;
    (void)key;
    (void)value;
    (void)arena;
    return st->code;
}

struct field {
    const char *key;
    field_reader *read;
};

static const struct field FIELDS[] = {
    { "id", read_text },
    { "content", read_text },
    { "text", read_text },
    { "source", read_text },
    { "category", read_text },
    { "strength", read_strength },
    { "confidence", read_confidence },
    { "created_us", read_created },
    { "embedding", read_embedding },
    { "attributes", read_attributes },
    { "associations", read_associations },
    { "version", read_over },
    { "access_count", read_over },
    { "last_accessed_us", read_over },
};

static const struct field *find_field(const char *key)
{
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++)
        if (strcmp(FIELDS[i].key, key) == 0)
            return &FIELDS[i];
    return NULL;
}

bool item_has_field(const char *key)
{
    return find_field(key) != NULL;
}

bool item_field_is_text(const char *key)
{
    const struct field *field = find_field(key);

    return field != NULL && field->read == read_text;
}

enum status_code item_set(Sutra__V1__ConceptInput *item, const char *key, const json_t *value,
                          struct arena *arena, struct status *st)
{
    const struct field *field = find_field(key);

    if (field == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "unknown key '%.80s'", key);
    if (json_is_null(value))
        return STATUS_OK;
    return field->read(item, key, value, arena, st);
}

enum status_code item_set_text(Sutra__V1__ConceptInput *item, const char *key, const char *text,
                               struct arena *arena, struct status *st)
{
    char *copy = arena_strndup(arena, text, strlen(text));

    if (copy == NULL)
        return out_of_memory(st);
    *text_field(item, key) = copy;
    return STATUS_OK;
}
