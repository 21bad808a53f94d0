#include <assert.h>
#include <string.h>

#include "src/store/store_internal.h"

/* ---- Numbers ----------------------------------------------------------------------------- */

static void put_u64le(uint8_t *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static void put_f32le(uint8_t *to, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(bits >> (8 * i));
}

static float get_f32le(const uint8_t *from)
{
    uint32_t bits = (uint32_t)get_le(from, 4);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- Writing keys ------------------------------------------------------------------------ */

void store_key_append(struct store_key *key, const void *data, size_t size)
{
    assert(size <= STORE_KEY_MAX - key->size);
    if (size != 0)
        memcpy(key->data + key->size, data, size);
    key->size += size;
}

static void append_u8(struct store_key *key, uint8_t value)
{
    store_key_append(key, &value, 1);
}

static void begin_with_slot(struct store_key *key, uint16_t slot)
{
    key->size = 0;
    append_u8(key, (uint8_t)(slot >> 8));
    append_u8(key, (uint8_t)slot);
}

void store_key_concept(const struct concept_id *id, struct store_key *ret)
{
    begin_with_slot(ret, id->slot);
    store_key_append(ret, id->data, id->length);
}

void store_key_edges(const struct concept_id *near, struct store_key *ret)
{
    begin_with_slot(ret, near->slot);
    append_u8(ret, (uint8_t)near->length);
    store_key_append(ret, near->data, near->length);
}

void store_key_edge(const struct edge *edge, enum store_direction side, struct store_key *ret)
{
    const struct concept_id *near = side == STORE_OUT ? &edge->source : &edge->target;
    const struct concept_id *far = side == STORE_OUT ? &edge->target : &edge->source;

    store_key_edges(near, ret);
    append_u8(ret, edge->type);
    store_key_append(ret, far->data, far->length);
    append_u8(ret, 0);
    store_key_append(ret, edge->label.data, edge->label.length);
}

void store_key_sequence(uint64_t sequence, struct store_key *ret)
{
    ret->size = 0;
    for (int shift = 56; shift >= 0; shift -= 8)
        append_u8(ret, (uint8_t)(sequence >> shift));
}

void store_key_successor(const struct store_key *prefix, struct store_key *ret)
{
    *ret = *prefix;
    while (ret->size > 0 && ret->data[ret->size - 1] == 0xff)
        ret->size--;
    assert(ret->size > 0);
    ret->data[ret->size - 1]++;
}

/* ---- Reading keys ------------------------------------------------------------------------ */

/* The next @size bytes of @from, or false. */
static bool take(struct text_view *from, size_t size, struct text_view *ret)
{
    if (from->length < size)
        return false;
    *ret = (struct text_view){ from->data, size };
    from->data += size;
    from->length -= size;
    return true;
}

static bool take_u8(struct text_view *from, uint8_t *ret)
{
    struct text_view byte;

    if (!take(from, 1, &byte))
        return false;
    *ret = (uint8_t)byte.data[0];
    return true;
}

static bool take_slot(struct text_view *from, uint16_t *ret)
{
    uint8_t high;
    uint8_t low;

    if (!take_u8(from, &high) || !take_u8(from, &low))
        return false;
    *ret = (uint16_t)(high << 8 | low);
    return true;
}

static bool id_of_bytes(struct text_view bytes, struct concept_id *ret)
{
    if (bytes.length == 0 || bytes.length > CONCEPT_ID_MAX_BYTES ||
        memchr(bytes.data, 0, bytes.length) != NULL)
        return false;
    *ret = concept_id_trusted(bytes.data, bytes.length);
    return true;
}

static bool take_sequence(struct text_view *from, uint64_t *ret)
{
    struct text_view bytes;

    *ret = 0;
    if (!take(from, 8, &bytes))
        return false;
    for (size_t i = 0; i < 8; i++)
        *ret = *ret << 8 | (uint8_t)bytes.data[i];
    return true;
}

/* "length | id". */
static bool take_id(struct text_view *from, struct concept_id *ret)
{
    struct text_view bytes;
    uint8_t length;

    return take_u8(from, &length) && take(from, length, &bytes) && id_of_bytes(bytes, ret);
}

/* "id | 0". */
static bool take_id_to_nul(struct text_view *from, struct concept_id *ret)
{
    const char *nul = from->length == 0 ? NULL : memchr(from->data, 0, from->length);
    struct text_view bytes;
    uint8_t zero;

    return nul != NULL && take(from, (size_t)(nul - from->data), &bytes) && take_u8(from, &zero) &&
           id_of_bytes(bytes, ret);
}

static bool type_is_valid(uint8_t type)
{
    return type >= STORE_TYPE_MIN && type <= STORE_TYPE_MAX;
}

enum status_code store_key_read_concept(struct text_view key, struct concept_id *ret,
                                        struct status *st)
{
    uint16_t slot;

    if (!take_slot(&key, &slot) || !id_of_bytes(key, ret) || ret->slot != slot)
        return status_set(st, STATUS_DATA_LOSS, "a key of %zu bytes names no concept", key.length);
    return STATUS_OK;
}

enum status_code store_key_read_sequence(struct text_view key, uint64_t *ret, struct status *st)
{
    if (!take_sequence(&key, ret) || key.length != 0)
        return status_set(st, STATUS_DATA_LOSS, "a key is no number");
    return STATUS_OK;
}

void store_change_write(const struct concept_id *id, struct buf *to)
{
    buf_append_u8(to, (uint8_t)id->length);
    buf_append(to, id->data, id->length);
}

enum status_code store_change_read(struct text_view *value, struct concept_id *ret,
                                   struct status *st)
{
    return take_id(value, ret) ? STATUS_OK
                               : status_set(st, STATUS_DATA_LOSS, "a record of changes is damaged");
}

enum status_code store_key_read_edge(struct text_view key, enum store_direction side,
                                     struct edge *ret, struct status *st)
{
    struct concept_id near;
    struct concept_id far;
    uint16_t slot;

    if (!take_slot(&key, &slot) || !take_id(&key, &near) || near.slot != slot ||
        !take_u8(&key, &ret->type) || !type_is_valid(ret->type) || !take_id_to_nul(&key, &far) ||
        key.length > STORE_LABEL_MAX_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "a key names no association");
    ret->source = side == STORE_OUT ? near : far;
    ret->target = side == STORE_OUT ? far : near;
    ret->label = key;
    return STATUS_OK;
}

/* ---- Associations ------------------------------------------------------------------------ */

static enum status_code parse_end(struct text_view id, const char *field, struct concept_id *ret,
                                  struct status *st)
{
    if (!id_of_bytes(id, ret))
        return status_set_field(st, field, "%s is no concept id", field);
    return STATUS_OK;
}

enum status_code edge_parse(const struct store_association *association, struct edge *ret,
                            struct status *st)
{
    if (parse_end(association->source, "source", &ret->source, st) != STATUS_OK ||
        parse_end(association->target, "target", &ret->target, st) != STATUS_OK)
        return st->code;
    if (!type_is_valid(association->type))
        return status_set_field(st, "type", "there is no association type %u", association->type);
    if (association->label.length > STORE_LABEL_MAX_BYTES)
        return status_set_field(st, "label", "label has %zu bytes, the limit is %d",
                                association->label.length, STORE_LABEL_MAX_BYTES);
    ret->type = association->type;
    ret->label = association->label;
    return STATUS_OK;
}

struct edge_value edge_value_of(const struct store_association *association)
{
    return (struct edge_value){
        .weight = association->weight,
        .confidence = association->confidence,
        .created_us = association->created_us,
        .last_used_us = association->last_used_us,
        .stamp = association->stamp,
    };
}

struct store_association edge_association(const struct edge *edge, const struct edge_value *value)
{
    return (struct store_association){
        .source = { edge->source.data, edge->source.length },
        .target = { edge->target.data, edge->target.length },
        .type = edge->type,
        .label = edge->label,
        .weight = value->weight,
        .confidence = value->confidence,
        .created_us = value->created_us,
        .last_used_us = value->last_used_us,
        .stamp = value->stamp,
    };
}

void edge_value_write(const struct edge_value *value, uint8_t to[EDGE_VALUE_BYTES])
{
    put_f32le(to, value->weight);
    put_f32le(to + 4, value->confidence);
    put_u64le(to + 8, (uint64_t)value->created_us);
    put_u64le(to + 16, (uint64_t)value->last_used_us);
    put_u64le(to + 24, value->stamp);
}

enum status_code edge_value_read(struct text_view bytes, struct edge_value *ret, struct status *st)
{
    const uint8_t *from = (const uint8_t *)bytes.data;

    if (bytes.length != EDGE_VALUE_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "an association has %zu bytes, not %d",
                          bytes.length, EDGE_VALUE_BYTES);
    *ret = (struct edge_value){
        .weight = get_f32le(from),
        .confidence = get_f32le(from + 4),
        .created_us = (int64_t)get_le(from + 8, 8),
        .last_used_us = (int64_t)get_le(from + 16, 8),
        .stamp = get_le(from + 24, 8),
    };
    return STATUS_OK;
}

/* ---- Vectors ----------------------------------------------------------------------------- */

void store_vector_write(const struct store_vector *vector, struct buf *to)
{
    buf_append_u64le(to, vector->codebook_version);
    buf_append(to, vector->refinement, vector->refinement_size);
    if (vector->codebook_version != 0)
        buf_append(to, vector->code, STORE_CODE_BYTES);
}

enum status_code store_vector_read(struct text_view bytes, struct store_vector *ret,
                                   struct status *st)
{
    const uint8_t *from = (const uint8_t *)bytes.data;
    size_t code_size;
    uint64_t version;

    if (bytes.length < VECTOR_HEAD_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "a vector has %zu bytes", bytes.length);
    version = get_le(from, VECTOR_HEAD_BYTES);
    code_size = version == 0 ? 0 : STORE_CODE_BYTES;
    if (bytes.length < VECTOR_HEAD_BYTES + code_size)
        return status_set(st, STATUS_DATA_LOSS, "a vector has %zu bytes", bytes.length);
    *ret = (struct store_vector){
        .refinement = from + VECTOR_HEAD_BYTES,
        .refinement_size = bytes.length - VECTOR_HEAD_BYTES - code_size,
        .code = version == 0 ? NULL : from + bytes.length - code_size,
        .codebook_version = version,
    };
    return STATUS_OK;
}

/* ---- Outbox ------------------------------------------------------------------------------ */

static void write_id(struct buf *to, struct text_view id)
{
    buf_append_u8(to, (uint8_t)id.length);
    buf_append(to, id.data, id.length);
}

void store_outbox_write(const struct store_outbox_entry *entry, struct buf *to)
{
    const struct store_association *association = &entry->op.association;
    const struct edge_value value = edge_value_of(association);
    uint8_t bytes[EDGE_VALUE_BYTES];

    edge_value_write(&value, bytes);
    buf_append_u8(to, (uint8_t)entry->op.kind);
    buf_append_u8(to, (uint8_t)(entry->slot >> 8));
    buf_append_u8(to, (uint8_t)entry->slot);
    buf_append(to, bytes, sizeof bytes);
    buf_append_u8(to, association->type);
    write_id(to, association->source);
    write_id(to, association->target);
    buf_append(to, association->label.data, association->label.length);
}

static bool kind_is_valid(uint8_t kind)
{
    return kind >= STORE_PUT_IN && kind <= STORE_DELETE_OUT;
}

enum status_code store_outbox_read(struct text_view key, struct text_view bytes,
                                   struct store_outbox_entry *ret, struct status *st)
{
    struct edge_value value;
    struct text_view raw;
    struct edge edge;
    uint8_t kind;

    if (!take_sequence(&key, &ret->sequence) || key.length != 0 || !take_u8(&bytes, &kind) ||
        !kind_is_valid(kind) || !take_slot(&bytes, &ret->slot) ||
        !take(&bytes, EDGE_VALUE_BYTES, &raw) || !take_u8(&bytes, &edge.type) ||
        !type_is_valid(edge.type) || !take_id(&bytes, &edge.source) ||
        !take_id(&bytes, &edge.target) || bytes.length > STORE_LABEL_MAX_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "an outbox entry is damaged");
    edge.label = bytes;
    if (edge_value_read(raw, &value, st) != STATUS_OK)
        return st->code;
    ret->op.kind = (enum store_edge_kind)kind;
    ret->op.association = edge_association(&edge, &value);
    return STATUS_OK;
}
