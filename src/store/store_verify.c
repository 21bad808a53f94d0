#include <stdio.h>
#include <string.h>

#include "src/store/store_internal.h"

enum { SENTENCE_BYTES = 1024 };

struct verify {
    struct store *store;
    void (*problem)(void *context, const char *sentence);
    void *context;
    struct store_verify_report report;
    uint64_t content_bytes;
    uint64_t last_stamp;
};

__attribute__((format(printf, 2, 3))) static void report(struct verify *verify, const char *fmt,
                                                         ...)
{
    char sentence[SENTENCE_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    verify->report.problems++;
    if (verify->problem != NULL)
        verify->problem(verify->context, sentence);
}

/* ---- Record by record --------------------------------------------------------------------- */

/* Checks one record; what is wrong with it is a problem, what keeps us from reading is @st. */
typedef void record_check(struct verify *verify, struct text_view key, struct text_view value,
                          struct status *st);

static void check_concept(struct verify *verify, struct text_view key, struct text_view value,
                          struct status *st)
{
    struct status fault = { 0 };
    struct concept concept;
    struct concept_id id;
    struct arena arena;

    (void)st;
    verify->report.concepts++;
    arena_init(&arena, SIZE_MAX);
    if (store_key_read_concept(key, &id, &fault) != STATUS_OK ||
        concept_wire_decode(value.data, value.length, &arena, &concept, &fault) != STATUS_OK)
        report(verify, "concepts: %s", fault.message);
    else if (concept_id_compare(id.data, id.length, concept.id.data, concept.id.length) != 0)
        report(verify, "concepts: '%.*s' holds another id", (int)id.length, id.data);
    else if (concept.version == 0)
        report(verify, "concepts: '%.*s' has no version", (int)id.length, id.data);
    else
        verify->content_bytes += concept.content.length;
    arena_deinit(&arena);
}

static void check_has_concept(struct verify *verify, const char *family,
                              const struct concept_id *id, struct status *st)
{
    struct store_value concept = { 0 };
    struct store_key key;

    store_key_concept(id, &key);
    if (store_pin(verify->store, FAMILY_CONCEPTS, &key, &concept, st) != STATUS_OK)
        return;
    if (concept.data == NULL)
        report(verify, "%s: there is no concept '%.*s'", family, (int)id->length, id->data);
    store_value_release(&concept);
}

static void check_vector(struct verify *verify, struct text_view key, struct text_view value,
                         struct status *st)
{
    struct status fault = { 0 };
    struct store_vector vector;
    struct concept_id id;

    verify->report.vectors++;
    if (store_key_read_concept(key, &id, &fault) != STATUS_OK ||
        store_vector_read(value, &vector, &fault) != STATUS_OK)
        report(verify, "vectors: %s", fault.message);
    else
        check_has_concept(verify, "vectors", &id, st);
}

/* The record of the other side has the same bytes. */
static void check_other_side(struct verify *verify, const struct edge *edge,
                             enum store_direction side, struct text_view value, struct status *st)
{
    enum store_direction other = side == STORE_OUT ? STORE_IN : STORE_OUT;
    struct store_value found = { 0 };
    struct store_key key;

    store_key_edge(edge, other, &key);
    if (store_pin(verify->store, other == STORE_OUT ? FAMILY_OUT : FAMILY_IN, &key, &found, st) !=
        STATUS_OK)
        return;
    if (found.size != value.length || memcmp(found.data, value.data, value.length) != 0)
        report(verify, "%s: '%.*s' to '%.*s' %s", side == STORE_OUT ? "out" : "in",
               (int)edge->source.length, edge->source.data, (int)edge->target.length,
               edge->target.data, found.data == NULL ? "has one record" : "has unequal records");
    store_value_release(&found);
}

static void check_out(struct verify *verify, struct text_view key, struct text_view value,
                      struct status *st)
{
    struct status fault = { 0 };
    struct edge_value read;
    struct edge edge;

    verify->report.associations_out++;
    if (store_key_read_edge(key, STORE_OUT, &edge, &fault) != STATUS_OK ||
        edge_value_read(value, &read, &fault) != STATUS_OK) {
        report(verify, "out: %s", fault.message);
        return;
    }
    if (read.stamp > verify->last_stamp)
        report(verify, "out: '%.*s' has a stamp of the future", (int)edge.source.length,
               edge.source.data);
    check_has_concept(verify, "out", &edge.source, st);
    if (st->code == STATUS_OK && store_owns(verify->store, edge.target.slot))
        check_other_side(verify, &edge, STORE_OUT, value, st);
}

static void check_in(struct verify *verify, struct text_view key, struct text_view value,
                     struct status *st)
{
    struct status fault = { 0 };
    struct edge_value read;
    struct edge edge;

    verify->report.associations_in++;
    if (store_key_read_edge(key, STORE_IN, &edge, &fault) != STATUS_OK ||
        edge_value_read(value, &read, &fault) != STATUS_OK)
        report(verify, "in: %s", fault.message);
    else if (store_owns(verify->store, edge.source.slot))
        check_other_side(verify, &edge, STORE_IN, value, st);
}

static void check_outbox(struct verify *verify, struct text_view key, struct text_view value,
                         struct status *st)
{
    struct store_outbox_entry entry;
    struct status fault = { 0 };

    (void)st;
    verify->report.outbox_pending++;
    if (store_outbox_read(key, value, &entry, &fault) != STATUS_OK)
        report(verify, "outbox: %s", fault.message);
    else if (entry.sequence > verify->last_stamp)
        report(verify, "outbox: entry %llu is of the future", (unsigned long long)entry.sequence);
}

static void check_changes(struct verify *verify, struct text_view key, struct text_view value,
                          struct status *st)
{
    struct status fault = { 0 };
    struct concept_id id;
    uint64_t number;

    (void)st;
    if (store_key_read_sequence(key, &number, &fault) == STATUS_OK && value.length > 0 &&
        number > verify->last_stamp)
        report(verify, "changes: number %llu is of the future", (unsigned long long)number);
    while (fault.code == STATUS_OK && value.length > 0)
        store_change_read(&value, &id, &fault);
    if (fault.code != STATUS_OK)
        report(verify, "changes: %s", fault.message);
}

static enum status_code check_family(struct verify *verify, enum store_family family,
                                     record_check *check, struct status *st)
{
    struct store_range range;
    struct text_view value;
    struct text_view key;

    store_range_begin_all(&range, verify->store, family);
    for (; st->code == STATUS_OK && store_range_get(&range, &key, &value); store_range_next(&range))
        check(verify, key, value, st);
    if (st->code == STATUS_OK)
        store_range_finish(&range, st);
    store_range_deinit(&range);
    return st->code;
}

/* ---- All ---------------------------------------------------------------------------------- */

static void check_count(struct verify *verify, const char *name, uint64_t counter, uint64_t found)
{
    if (counter != found)
        report(verify, "the counter of %s says %llu, there are %llu", name,
               (unsigned long long)counter, (unsigned long long)found);
}

/* What is in memory is what opening would find. */
static void check_counters(struct verify *verify)
{
    struct store *store = verify->store;
    const struct store_verify_report *found = &verify->report;

    check_count(verify, "concepts", atomic_load(&store->counters[COUNTER_CONCEPTS]),
                found->concepts);
    check_count(verify, "vectors", atomic_load(&store->counters[COUNTER_VECTORS]), found->vectors);
    check_count(verify, "content bytes", atomic_load(&store->counters[COUNTER_CONTENT_BYTES]),
                verify->content_bytes);
    check_count(verify, "out records", atomic_load(&store->counters[COUNTER_OUT]),
                found->associations_out);
    check_count(verify, "in records", atomic_load(&store->counters[COUNTER_IN]),
                found->associations_in);
    check_count(verify, "outbox entries", atomic_load(&store->outbox_pending),
                found->outbox_pending);
}

enum status_code store_verify(struct store *store,
                              void (*problem)(void *context, const char *sentence), void *context,
                              struct store_verify_report *ret, struct status *st)
{
    struct verify verify = { .store = store, .problem = problem, .context = context };
    static const struct {
        enum store_family family;
        record_check *check;
    } checks[] = {
        { FAMILY_CONCEPTS, check_concept }, { FAMILY_VECTORS, check_vector },
        { FAMILY_OUT, check_out },          { FAMILY_IN, check_in },
        { FAMILY_OUTBOX, check_outbox },    { FAMILY_CHANGES, check_changes },
    };

    verify.last_stamp = atomic_load(&store->counters[COUNTER_SEQUENCE]);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (check_family(&verify, checks[i].family, checks[i].check, st) != STATUS_OK)
            return status_wrap(st, "verify store '%s'", store->path);
    check_counters(&verify);
    *ret = verify.report;
    return STATUS_OK;
}
