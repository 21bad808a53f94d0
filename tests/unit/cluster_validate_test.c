#include "src/cluster/validate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/serve/limits.h"

enum { LONG_BYTES = LIMIT_CONTENT_BYTES + 2, MANY = LIMIT_ASSOCIATIONS + 1, PAIRS = 65 };

/* What a case may point to. */
static struct arena arena;
static char long_text[LONG_BYTES];
static float values[LIMIT_DIMENSION + 1];
static Sutra__V1__Embedding embedding;
static Sutra__V1__Association association;
static Sutra__V1__Association *associations[MANY];
static Sutra__V1__ConceptInput__AttributesEntry entries[PAIRS];
static Sutra__V1__ConceptInput__AttributesEntry *attributes[PAIRS];
static char keys[PAIRS][8];

static void set_up(void)
{
    arena_init(&arena, 64 << 20);
    sutra__v1__embedding__init(&embedding);
    sutra__v1__association__init(&association);
    association.target = "target";
    for (size_t i = 0; i < MANY; i++)
        associations[i] = &association;
    for (size_t i = 0; i < PAIRS; i++) {
        sutra__v1__concept_input__attributes_entry__init(&entries[i]);
        snprintf(keys[i], sizeof keys[i], "key%zu", i);
        entries[i].key = keys[i];
        attributes[i] = &entries[i];
    }
    for (size_t i = 0; i < LIMIT_DIMENSION + 1; i++)
        values[i] = (float)i - 100;
}

static void tear_down(void)
{
    arena_deinit(&arena);
}

TestSuite(validate, .init = set_up, .fini = tear_down);

/* @length bytes. */
static char *text_of(size_t length)
{
    memset(long_text, 'x', length);
    long_text[length] = '\0';
    return long_text;
}

static Sutra__V1__ConceptInput valid_input(void)
{
    Sutra__V1__ConceptInput input = SUTRA__V1__CONCEPT_INPUT__INIT;

    input.id = "id";
    input.content = "content";
    return input;
}

static enum status_code check(Sutra__V1__ConceptInput *input, struct status *st)
{
    struct concept_id id;

    return validate_input(input, &arena, &id, st);
}

static void expect_fine(Sutra__V1__ConceptInput *input, const char *what)
{
    struct status st = { 0 };

    cr_expect_eq(check(input, &st), STATUS_OK, "%s: %s", what, st.message);
}

static void expect_status(const struct status *st, const char *field, const char *message)
{
    cr_expect_eq(st->code, STATUS_INVALID_ARGUMENT, "%s: %s", message, st->message);
    cr_expect_str_eq(st->field, field, "%s: field '%s'", message, st->field);
    cr_expect_str_eq(st->message, message, "'%s'", st->message);
}

/* ---- One wrong thing in a concept, and what is said about it ---- */

/* Each makes the input wrong, or brings it to a limit. */
typedef void change_fn(Sutra__V1__ConceptInput *input);

#define CHANGE(name, ...)                                                                          \
    static void name(Sutra__V1__ConceptInput *input)                                               \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

static void set_strength(Sutra__V1__ConceptInput *input, float strength)
{
    input->optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    input->strength = strength;
}

static void set_confidence(Sutra__V1__ConceptInput *input, float confidence)
{
    input->optional_confidence_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_CONFIDENCE_CONFIDENCE;
    input->confidence = confidence;
}

static void set_values(Sutra__V1__ConceptInput *input, size_t n)
{
    embedding.values = values;
    embedding.n_values = n;
    input->embedding = &embedding;
}

static void set_bytes(Sutra__V1__ConceptInput *input, size_t size)
{
    embedding.f32le.data = (uint8_t *)values;
    embedding.f32le.len = size;
    input->embedding = &embedding;
}

static void set_attributes(Sutra__V1__ConceptInput *input, size_t n)
{
    input->attributes = attributes;
    input->n_attributes = n;
}

static void set_associations(Sutra__V1__ConceptInput *input, size_t n)
{
    input->associations = associations;
    input->n_associations = n;
}

static void set_edge(Sutra__V1__ConceptInput *input, float weight, float confidence)
{
    set_associations(input, 1);
    association.optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    association.weight = weight;
    association.optional_confidence_case = SUTRA__V1__ASSOCIATION__OPTIONAL_CONFIDENCE_CONFIDENCE;
    association.confidence = confidence;
}

CHANGE(id_255, input->id = text_of(255))
CHANGE(id_256, input->id = text_of(256))
CHANGE(no_id, input->id = "")
CHANGE(no_id_no_content, input->id = input->content = "")
CHANGE(no_content, input->content = "")
CHANGE(content_full, input->content = text_of(LIMIT_CONTENT_BYTES))
CHANGE(content_over, input->content = text_of(LIMIT_CONTENT_BYTES + 1))
CHANGE(source_full, input->source = text_of(4096))
CHANGE(source_over, input->source = text_of(4097))
CHANGE(category_full, input->category = text_of(4096))
CHANGE(category_over, input->category = text_of(4097))
CHANGE(strength_0, set_strength(input, 0))
CHANGE(strength_10, set_strength(input, 10))
CHANGE(strength_over, set_strength(input, 10.5f))
CHANGE(strength_under, set_strength(input, -0.5f))
CHANGE(strength_nan, set_strength(input, NAN))
CHANGE(strength_infinite, set_strength(input, INFINITY))
CHANGE(strength_not_given, input->strength = NAN)
CHANGE(confidence_0, set_confidence(input, 0))
CHANGE(confidence_1, set_confidence(input, 1))
CHANGE(confidence_over, set_confidence(input, 1.5f))
CHANGE(confidence_under, set_confidence(input, -1))
CHANGE(confidence_nan, set_confidence(input, NAN))
CHANGE(confidence_not_given, input->confidence = 7)
CHANGE(created_now, input->created_us = 0)
CHANGE(created_late, input->created_us = INT64_MAX)
CHANGE(created_before, input->created_us = -1)

CHANGE(values_384, set_values(input, 384))
CHANGE(values_383, set_values(input, 383))
CHANGE(values_385, set_values(input, 385))
CHANGE(values_nan, set_values(input, 384), values[7] = NAN)
CHANGE(values_infinite, set_values(input, 384), values[383] = -INFINITY)
CHANGE(values_zero, set_values(input, 384), memset(values, 0, sizeof values))
CHANGE(bytes_1536, set_bytes(input, 1536))
CHANGE(bytes_1535, set_bytes(input, 1535))
CHANGE(bytes_1532, set_bytes(input, 1532))
CHANGE(bytes_4, set_bytes(input, 4))
CHANGE(bytes_nan, set_bytes(input, 1536), values[0] = NAN)
CHANGE(bytes_zero, set_bytes(input, 1536), memset(values, 0, sizeof values))
CHANGE(embedding_empty, set_values(input, 0))
CHANGE(embedding_twice, set_values(input, 384), set_bytes(input, 1536))

CHANGE(attributes_64, set_attributes(input, 64))
CHANGE(attributes_65, set_attributes(input, 65))
CHANGE(key_full, set_attributes(input, 2), entries[1].key = text_of(4096))
CHANGE(key_over, set_attributes(input, 2), entries[1].key = text_of(4097))
CHANGE(value_full, set_attributes(input, 2), entries[1].value = text_of(4096))
CHANGE(value_over, set_attributes(input, 2), entries[1].value = text_of(4097))
CHANGE(key_empty, set_attributes(input, 1), entries[0].key = "")

CHANGE(associations_10000, set_associations(input, 10000))
CHANGE(associations_10001, set_associations(input, 10001))
CHANGE(source_given, set_associations(input, 1), association.source = "id")
CHANGE(target_empty, set_associations(input, 1), association.target = "")
CHANGE(target_255, set_associations(input, 1), association.target = text_of(255))
CHANGE(target_256, set_associations(input, 1), association.target = text_of(256))
CHANGE(type_5, set_associations(input, 1), association.type = 5)
CHANGE(type_6, set_associations(input, 1), association.type = 6)
CHANGE(type_minus_1, set_associations(input, 1), association.type = (Sutra__V1__AssociationType)-1)
CHANGE(label_full, set_associations(input, 1), association.label = text_of(64))
CHANGE(label_over, set_associations(input, 1), association.label = text_of(65))
CHANGE(weight_0_and_0, set_edge(input, 0, 0))
CHANGE(weight_5_and_1, set_edge(input, 5, 1))
CHANGE(weight_over, set_edge(input, 5.25f, 1))
CHANGE(weight_under, set_edge(input, -1, 1))
CHANGE(weight_nan, set_edge(input, NAN, 1))
CHANGE(edge_confidence_over, set_edge(input, 1, 2))
CHANGE(edge_confidence_under, set_edge(input, 1, -1))
CHANGE(edge_confidence_nan, set_edge(input, 1, NAN))
CHANGE(edge_nothing_given, set_associations(input, 1), association.weight = 99,
       association.confidence = 99)

#define FINE(name)                                                                                 \
    {                                                                                              \
        name, #name                                                                                \
    }

static const struct {
    change_fn *change;
    const char *what;
} fine[] = {
    FINE(id_255),         FINE(no_id),          FINE(no_content),
    FINE(content_full),   FINE(source_full),    FINE(category_full),
    FINE(strength_0),     FINE(strength_10),    FINE(strength_not_given),
    FINE(confidence_0),   FINE(confidence_1),   FINE(confidence_not_given),
    FINE(created_now),    FINE(created_late),   FINE(values_384),
    FINE(bytes_1536),     FINE(attributes_64),  FINE(key_full),
    FINE(value_full),     FINE(key_empty),      FINE(associations_10000),
    FINE(target_255),     FINE(type_5),         FINE(label_full),
    FINE(weight_0_and_0), FINE(weight_5_and_1), FINE(edge_nothing_given),
};

Test(validate, a_concept_may_reach_every_limit)
{
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        Sutra__V1__ConceptInput input = valid_input();
        set_up();
        fine[i].change(&input);
        expect_fine(&input, fine[i].what);
        tear_down();
    }
}

static const struct {
    change_fn *change;
    const char *field;
    const char *message;
} wrong[] = {
    { id_256, "id", "id has 256 bytes, the limit is 255" },
    { no_id_no_content, "id", "id and content are both empty" },
    { content_over, "content", "content has 1048577 bytes, the limit is 1048576" },
    { source_over, "source", "source has 4097 bytes, the limit is 4096" },
    { category_over, "category", "category has 4097 bytes, the limit is 4096" },
    { strength_over, "strength", "strength is 10.5, it takes 0 to 10" },
    { strength_under, "strength", "strength is -0.5, it takes 0 to 10" },
    { strength_nan, "strength", "strength is nan, it takes 0 to 10" },
    { strength_infinite, "strength", "strength is inf, it takes 0 to 10" },
    { confidence_over, "confidence", "confidence is 1.5, it takes 0 to 1" },
    { confidence_under, "confidence", "confidence is -1, it takes 0 to 1" },
    { confidence_nan, "confidence", "confidence is nan, it takes 0 to 1" },
    { created_before, "created_us", "created_us is -1, before the epoch" },
    { values_383, "embedding", "embedding has 383 dimensions, this cluster has 384" },
    { values_385, "embedding", "embedding has 385 dimensions, this cluster has 384" },
    { values_nan, "embedding", "embedding[7] is not a finite number" },
    { values_infinite, "embedding", "embedding[383] is not a finite number" },
    { values_zero, "embedding", "embedding is all zero" },
    { bytes_1535, "embedding", "embedding.f32le has 1535 bytes, not a multiple of 4" },
    { bytes_1532, "embedding", "embedding has 383 dimensions, this cluster has 384" },
    { bytes_4, "embedding", "embedding has 1 dimensions, this cluster has 384" },
    { bytes_nan, "embedding", "embedding[0] is not a finite number" },
    { bytes_zero, "embedding", "embedding is all zero" },
    { embedding_empty, "embedding", "embedding has 0 dimensions, this cluster has 384" },
    { embedding_twice, "embedding", "embedding has both values and f32le" },
    { attributes_65, "attributes", "attributes has 65 entries, the limit is 64" },
    { key_over, "attributes", "attributes has 4097 bytes, the limit is 4096" },
    { value_over, "attributes", "attributes has 4097 bytes, the limit is 4096" },
    { associations_10001, "associations", "associations has 10001 entries, the limit is 10000" },
    { source_given, "associations[0].source", "source is given; it is the concept itself" },
    { target_empty, "associations[0].target", "target: id is empty; it takes 1 to 255 bytes" },
    { target_256, "associations[0].target", "target: id has 256 bytes, the limit is 255" },
    { type_6, "associations[0].type", "association type 6 does not exist" },
    { type_minus_1, "associations[0].type", "association type -1 does not exist" },
    { label_over, "associations[0].label", "label has 65 bytes, the limit is 64" },
    { weight_over, "associations[0].weight", "weight is 5.25, it takes 0 to 5" },
    { weight_under, "associations[0].weight", "weight is -1, it takes 0 to 5" },
    { weight_nan, "associations[0].weight", "weight is nan, it takes 0 to 5" },
    { edge_confidence_over, "associations[0].confidence", "confidence is 2, it takes 0 to 1" },
    { edge_confidence_under, "associations[0].confidence", "confidence is -1, it takes 0 to 1" },
    { edge_confidence_nan, "associations[0].confidence", "confidence is nan, it takes 0 to 1" },
};

Test(validate, an_error_names_field_limit_and_value)
{
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Sutra__V1__ConceptInput input = valid_input();
        struct status st = { 0 };
        set_up();
        wrong[i].change(&input);
        check(&input, &st);
        expect_status(&st, wrong[i].field, wrong[i].message);
        tear_down();
    }
}

Test(validate, an_error_names_the_association)
{
    Sutra__V1__ConceptInput input = valid_input();
    Sutra__V1__Association second = association;
    struct status st = { 0 };

    second.target = "";
    associations[1] = &second;
    set_associations(&input, 3);
    check(&input, &st);
    expect_status(&st, "associations[1].target", "target: id is empty; it takes 1 to 255 bytes");
}

/* ---- What is brought into form ---- */

Test(validate, an_id_is_made_of_the_content)
{
    Sutra__V1__ConceptInput input = valid_input();
    struct concept_id id;
    struct status st = { 0 };
    char hex[CONCEPT_ID_CONTENT_HEX + 1];

    input.id = "";
    cr_assert_eq(validate_input(&input, &arena, &id, &st), STATUS_OK, "%s", st.message);
    concept_id_of_content("content", 7, hex);
    cr_expect_str_eq(input.id, hex);
    cr_expect_eq(id.length, CONCEPT_ID_CONTENT_HEX);
    cr_expect_eq(memcmp(id.data, hex, id.length), 0);
}

static double length_of(const float *unit)
{
    double sum = 0;

    for (size_t i = 0; i < LIMIT_DIMENSION; i++)
        sum += (double)unit[i] * (double)unit[i];
    return sqrt(sum);
}

Test(validate, both_forms_of_an_embedding_become_the_same_unit_vector)
{
    Sutra__V1__ConceptInput input = valid_input();
    uint8_t first[LIMIT_DIMENSION * sizeof(float)];
    float unit[LIMIT_DIMENSION];

    set_values(&input, LIMIT_DIMENSION);
    expect_fine(&input, "values");
    cr_expect_eq(embedding.n_values, 0);
    cr_assert_eq(embedding.f32le.len, sizeof first);
    memcpy(first, embedding.f32le.data, sizeof first);
    memcpy(unit, first, sizeof unit);
    cr_expect_float_eq(length_of(unit), 1, 1e-6);
    cr_expect_lt(unit[99], 0);

    tear_down(); /* the numbers were brought to length 1 where they were */
    set_up();
    set_bytes(&input, sizeof first);
    expect_fine(&input, "bytes");
    cr_assert_eq(embedding.f32le.len, sizeof first);
    cr_expect_eq(memcmp(embedding.f32le.data, first, sizeof first), 0);
}

Test(validate, bytes_of_an_embedding_may_lie_anywhere)
{
    Sutra__V1__ConceptInput input = valid_input();
    uint8_t *odd = malloc(sizeof values + 1);

    memcpy(odd + 1, values, sizeof values);
    set_bytes(&input, LIMIT_DIMENSION * sizeof(float));
    embedding.f32le.data = odd + 1;
    expect_fine(&input, "odd address");
    free(odd);
}

/* The squares of these are beyond float32's range. */
Test(validate, very_long_and_very_short_embeddings_have_a_direction_too)
{
    static const float scales[] = { 1e30f, 1e-30f, 1e-42f };

    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        Sutra__V1__ConceptInput input = valid_input();
        float unit[LIMIT_DIMENSION];
        set_up();
        for (size_t j = 0; j < LIMIT_DIMENSION; j++)
            values[j] = scales[i] * (float)(j + 1);
        set_values(&input, LIMIT_DIMENSION);
        expect_fine(&input, "scaled");
        memcpy(unit, embedding.f32le.data, sizeof unit);
        cr_expect_float_eq(length_of(unit), 1, 1e-3, "scale %g", (double)scales[i]);
        tear_down();
    }
}

Test(validate, the_last_of_an_attribute_wins)
{
    Sutra__V1__ConceptInput input = valid_input();

    entries[0].key = "a", entries[0].value = "1";
    entries[1].key = "b", entries[1].value = "2";
    entries[2].key = "a", entries[2].value = "3";
    entries[3].key = "a", entries[3].value = "4";
    set_attributes(&input, 4);
    expect_fine(&input, "repeated keys");
    cr_assert_eq(input.n_attributes, 2);
    cr_expect_str_eq(input.attributes[0]->key, "b");
    cr_expect_str_eq(input.attributes[0]->value, "2");
    cr_expect_str_eq(input.attributes[1]->key, "a");
    cr_expect_str_eq(input.attributes[1]->value, "4");
}

Test(validate, an_association_without_a_type_is_semantic)
{
    Sutra__V1__ConceptInput input = valid_input();

    set_associations(&input, 1);
    expect_fine(&input, "no type");
    cr_expect_eq(association.type, SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC);
}

static void expect_no_memory(const struct status *st)
{
    cr_expect_eq(st->code, STATUS_RESOURCE_EXHAUSTED, "%s", st->message);
    cr_expect_str_eq(st->reason, "LIMIT_EXCEEDED");
}

Test(validate, a_call_without_memory_left_says_so)
{
    Sutra__V1__ConceptInput input = valid_input();
    struct status st = { 0 };
    float *unit;

    arena_init(&arena, 16);
    no_id(&input);
    check(&input, &st);
    expect_no_memory(&st);
    st = (struct status){ 0 };
    values_384(&input);
    validate_embedding(input.embedding, &arena, &unit, &st);
    expect_no_memory(&st);
}

/* ---- Associations, keys, counts, sizes ---- */

Test(validate, an_association_has_two_ends)
{
    struct status st = { 0 };

    association.source = "source";
    cr_expect_eq(validate_association(&association, &st), STATUS_OK, "%s", st.message);
    association.source = "";
    validate_association(&association, &st);
    expect_status(&st, "source", "source: id is empty; it takes 1 to 255 bytes");
    status_clear(&st);
    association.source = "source";
    association.target = text_of(256);
    validate_association(&association, &st);
    expect_status(&st, "target", "target: id has 256 bytes, the limit is 255");
}

static void expect_key(Sutra__V1__AssociationKey key, const char *field, const char *message)
{
    struct status st = { 0 };

    validate_key(&key, &st);
    expect_status(&st, field, message);
}

Test(validate, a_key_is_checked_in_all_its_parts)
{
    Sutra__V1__AssociationKey good = SUTRA__V1__ASSOCIATION_KEY__INIT;
    Sutra__V1__AssociationKey key;
    struct status st = { 0 };

    good.source = "source";
    good.target = "target";
    good.label = text_of(64);
    cr_expect_eq(validate_key(&good, &st), STATUS_OK, "%s", st.message);
    key = good;
    key.source = "";
    expect_key(key, "source", "source: id is empty; it takes 1 to 255 bytes");
    key = good;
    key.target = "";
    expect_key(key, "target", "target: id is empty; it takes 1 to 255 bytes");
    key = good;
    key.type = 6;
    expect_key(key, "type", "association type 6 does not exist");
    key = good;
    key.label = text_of(65);
    expect_key(key, "label", "label has 65 bytes, the limit is 64");
}

Test(validate, a_count_may_reach_its_limit)
{
    struct status st = { 0 };

    cr_expect_eq(validate_count("ids", 10, 10, &st), STATUS_OK);
    validate_count("ids", 11, 10, &st);
    expect_status(&st, "ids", "ids has 11 entries, the limit is 10");
}

Test(validate, an_id_must_be_given)
{
    struct concept_id id;
    struct status st = { 0 };

    cr_assert_eq(validate_id("moon", &id, &st), STATUS_OK);
    cr_expect_eq(id.length, 4);
    validate_id("", &id, &st);
    expect_status(&st, "id", "id is empty; it takes 1 to 255 bytes");
}

static const struct {
    struct search_size size;
    uint32_t expected; /* rerank, of what is not refused */
    const char *field;
    const char *message;
} sizes[] = {
    { { .k = 1 }, 0, NULL, NULL },
    { { .k = 1, .rerank = 1 }, 1, NULL, NULL },
    { { .k = 10, .rerank = 3 }, 10, NULL, NULL },
    { { .k = 10, .rerank = 300, .nprobe = 5, .exact = true }, 300, NULL, NULL },
    { { .k = LIMIT_K, .rerank = LIMIT_RERANK }, LIMIT_RERANK, NULL, NULL },
    { { .k = 10, .recall_target = 1 }, 0, NULL, NULL },
    { { .k = 0 }, 0, "k", "k is 0, it takes 1 to 1000" },
    { { .k = LIMIT_K + 1 }, 0, "k", "k is 1001, it takes 1 to 1000" },
    { { .k = UINT32_MAX }, 0, "k", "k is 4294967295, it takes 1 to 1000" },
    { { .k = 1, .rerank = LIMIT_RERANK + 1 }, 0, "rerank", "rerank is 10001, the limit is 10000" },
    { { .k = 1, .rerank = UINT32_MAX }, 0, "rerank", "rerank is 4294967295, the limit is 10000" },
    { { .k = 1, .recall_target = 1.5f },
      0,
      "recall_target",
      "recall_target is 1.5, it takes 0 to 1" },
    { { .k = 1, .recall_target = -0.5f },
      0,
      "recall_target",
      "recall_target is -0.5, it takes 0 to 1" },
    { { .k = 1, .recall_target = NAN },
      0,
      "recall_target",
      "recall_target is nan, it takes 0 to 1" },
    { { .k = 1, .recall_target = 0.9f, .rerank = 100 },
      0,
      "recall_target",
      "recall_target chooses rerank and nprobe: give one or the others" },
    { { .k = 1, .recall_target = 0.9f, .nprobe = 1 },
      0,
      "recall_target",
      "recall_target chooses rerank and nprobe: give one or the others" },
    { { .k = 1, .recall_target = 0.9f, .exact = true },
      0,
      "recall_target",
      "recall_target chooses rerank and nprobe: give one or the others" },
};

Test(validate, sizes_of_a_search)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct status st = { 0 };
        struct search_size size = sizes[i].size;
        validate_search_size(&size, &st);
        if (sizes[i].message == NULL) {
            cr_expect_eq(st.code, STATUS_OK, "case %zu: %s", i, st.message);
            cr_expect_eq(size.rerank, sizes[i].expected, "case %zu: %u", i, size.rerank);
        } else {
            expect_status(&st, sizes[i].field, sizes[i].message);
        }
    }
}
