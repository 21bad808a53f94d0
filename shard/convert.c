#include "shard/convert.h"

#include <string.h>

struct text_view convert_text(const char *text)
{
    return (struct text_view){ .data = text, .length = strlen(text) };
}

struct store_association convert_association(const Sutra__V1__Association *from, int64_t now_us)
{
    bool has_weight = from->optional_weight_case == SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    bool has_confidence =
        from->optional_confidence_case == SUTRA__V1__ASSOCIATION__OPTIONAL_CONFIDENCE_CONFIDENCE;

    return (struct store_association){
        .source = convert_text(from->source),
        .target = convert_text(from->target),
        .type = (uint8_t)from->type,
        .label = convert_text(from->label),
        .weight = has_weight ? from->weight : 1,
        .confidence = has_confidence ? from->confidence : 1,
        .created_us = from->created_us != 0 ? from->created_us : now_us,
        .last_used_us = from->last_used_us,
    };
}

struct store_association convert_key(const Sutra__V1__AssociationKey *from)
{
    return (struct store_association){
        .source = convert_text(from->source),
        .target = convert_text(from->target),
        .type = (uint8_t)from->type,
        .label = convert_text(from->label),
    };
}

Sutra__V1__Association *convert_association_back(const struct store_association *from,
                                                 struct arena *arena)
{
    Sutra__V1__Association *to = arena_alloc(arena, sizeof *to);

    if (to == NULL)
        return NULL;
    sutra__v1__association__init(to);
    to->source = arena_strndup(arena, from->source.data, from->source.length);
    to->target = arena_strndup(arena, from->target.data, from->target.length);
    to->label = arena_strndup(arena, from->label.data, from->label.length);
    to->type = (Sutra__V1__AssociationType)from->type;
    to->optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    to->weight = from->weight;
    to->optional_confidence_case = SUTRA__V1__ASSOCIATION__OPTIONAL_CONFIDENCE_CONFIDENCE;
    to->confidence = from->confidence;
    to->created_us = from->created_us;
    to->last_used_us = from->last_used_us;
    return to->source == NULL || to->target == NULL || to->label == NULL ? NULL : to;
}

static bool convert_attributes(const Sutra__V1__ConceptInput *item, struct arena *arena,
                               struct concept *ret)
{
    struct concept_attribute *attributes =
        arena_calloc(arena, item->n_attributes, sizeof *attributes);

    if (attributes == NULL)
        return false;
    for (size_t i = 0; i < item->n_attributes; i++) {
        attributes[i].key = convert_text(item->attributes[i]->key);
        attributes[i].value = convert_text(item->attributes[i]->value);
    }
    ret->attributes = attributes;
    ret->attribute_count = item->n_attributes;
    return true;
}

static bool convert_associations(const Sutra__V1__ConceptInput *item, int64_t now_us,
                                 struct arena *arena, struct store_write *ret)
{
    struct store_association *associations =
        arena_calloc(arena, item->n_associations, sizeof *associations);

    if (associations == NULL)
        return false;
    for (size_t i = 0; i < item->n_associations; i++)
        associations[i] = convert_association(item->associations[i], now_us);
    ret->associations = associations;
    ret->association_count = item->n_associations;
    return true;
}

bool convert_write(const Sutra__V1__ConceptInput *item, const struct concept_id *id,
                   enum store_write_mode mode, int64_t now_us, struct arena *arena,
                   struct store_write *ret)
{
    bool has_strength =
        item->optional_strength_case == SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    bool has_confidence =
        item->optional_confidence_case == SUTRA__V1__CONCEPT_INPUT__OPTIONAL_CONFIDENCE_CONFIDENCE;

    *ret = (struct store_write){
        .id = *id,
        .concept = {
            .content = convert_text(item->content),
            .strength = has_strength ? item->strength : 1,
            .confidence = has_confidence ? item->confidence : 1,
            .created_us = item->created_us != 0 ? item->created_us : now_us,
            .source = convert_text(item->source),
            .category = convert_text(item->category),
        },
        .given = (has_strength ? STORE_GIVEN_STRENGTH : 0u) |
                 (has_confidence ? STORE_GIVEN_CONFIDENCE : 0u),
        .mode = mode,
        .condition = {
            .given = item->condition_case == SUTRA__V1__CONCEPT_INPUT__CONDITION_IF_VERSION,
            .version = item->if_version,
        },
    };
    return convert_attributes(item, arena, &ret->concept) &&
           convert_associations(item, now_us, arena, ret);
}
