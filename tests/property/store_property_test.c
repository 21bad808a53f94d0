/*
 * Random operations on two stores that share the slots, against a model in memory.
 *
 * With everything delivered after each operation the model knows every record. With deliveries that
 * lag, repeat and are cut off by reopening, which of two racing operations wins is the protocol's
 * business; then concepts are still exact, and once all is delivered every association has both of
 * its records, equal in every field.
 */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "src/store/store.h"
#include "tests/support/store_fixture.h"

enum { NAMES = 10, TYPES = 2, LABELS = 2, SEEDS = 6, OPERATIONS = 1500, ROW_BYTES = 20 };

static const char *const labels[LABELS] = { "", "of" };
static const char *const contents[] = { "", "rain", "a much longer text about the tides" };

/* ---- Randomness --------------------------------------------------------------------------- */

static uint64_t state;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static unsigned below(unsigned n)
{
    return (unsigned)(random_u64() % n);
}

/* ---- Model -------------------------------------------------------------------------------- */

struct model_concept {
    bool exists;
    uint64_t version;
    unsigned content;
    float strength;
    float confidence;
    uint64_t access_count;
    int64_t created_us;
    int64_t last_accessed_us;
    unsigned row; /* 0: no vector */
    uint64_t codebook_version;
};

struct model_edge {
    bool exists;
    float weight;
    float confidence;
    int64_t created_us;
    int64_t last_used_us;
};

static struct model_concept concepts[NAMES];
static struct model_edge edges[NAMES][NAMES][TYPES][LABELS];

/* ---- World -------------------------------------------------------------------------------- */

static struct store_fixture shards[2];
static char names[NAMES][16];
static bool exact; /* deliver all after each operation */
static int64_t now_us;

static bool owns(void *context, uint16_t slot)
{
    return &shards[slot % 2] == context;
}

static struct store_fixture *home(unsigned name)
{
    return &shards[id_of(names[name]).slot % 2];
}

static uint8_t *row_of(unsigned row)
{
    static uint8_t bytes[4][ROW_BYTES];

    memset(bytes[row], (int)row, ROW_BYTES);
    return bytes[row];
}

static void open_world(void)
{
    memset(concepts, 0, sizeof concepts);
    memset(edges, 0, sizeof edges);
    now_us = 1;
    for (unsigned i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "n%u", i);
    for (int i = 0; i < 2; i++) {
        store_fixture_open(&shards[i]);
        shards[i].options.owns = owns;
        shards[i].options.context = &shards[i];
        store_fixture_reopen(&shards[i]);
    }
}

static void close_world(void)
{
    store_fixture_close(&shards[0]);
    store_fixture_close(&shards[1]);
}

/* ---- Delivery ----------------------------------------------------------------------------- */

static uint64_t pending(struct store_fixture *f)
{
    struct store_stats stats = { 0 };
    struct status st = { 0 };

    store_stats(f->store, &stats, &st);
    cr_assert_eq(st.code, STATUS_OK);
    return stats.outbox_pending;
}

/* Delivers up to @max entries, in one batch or one by one, and forgets them if @forget. */
static void deliver(unsigned from, size_t max, bool forget)
{
    struct store_fixture *f = &shards[from];
    struct store_outbox_entry *entries;
    struct store_edge_op ops[64];
    uint64_t sequences[64];
    struct status st = { 0 };
    size_t count;

    store_outbox_peek(f->store, 0, max < 64 ? max : 64, &f->arena, &entries, &count, &st);
    for (size_t i = 0; i < count; i++) {
        ops[i] = entries[i].op;
        sequences[i] = entries[i].sequence;
    }
    store_apply_edges(shards[1 - from].store, ops, count, &st);
    if (forget)
        store_outbox_remove(f->store, sequences, count, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

static void settle(void)
{
    while (pending(&shards[0]) + pending(&shards[1]) > 0) {
        deliver(0, 64, true);
        deliver(1, 64, true);
    }
}

/* ---- Operations --------------------------------------------------------------------------- */

struct key {
    unsigned source;
    unsigned target;
    unsigned type;
    unsigned label;
};

static struct key random_key(unsigned source)
{
    return (struct key){ source, below(NAMES), below(TYPES), below(LABELS) };
}

static struct model_edge *model_edge(struct key key)
{
    return &edges[key.source][key.target][key.type][key.label];
}

static struct store_association association_of(struct key key)
{
    struct store_association association =
        edge(names[key.source], names[key.target], (uint8_t)(key.type + 1), labels[key.label]);

    association.weight = (float)below(50) / 10;
    association.confidence = (float)below(100) / 100;
    association.created_us = now_us;
    return association;
}

static void model_associate(struct key key, const struct store_association *association)
{
    struct model_edge *old = model_edge(key);

    old->weight = association->weight;
    old->confidence = association->confidence;
    old->created_us = old->exists ? old->created_us : association->created_us;
    old->last_used_us = old->exists ? old->last_used_us : 0;
    old->exists = true;
}

/* One item, its parts, and what the model makes of it. */
struct write {
    unsigned name;
    struct store_vector vector;
    struct key keys[2];
    struct store_association associations[2];
    unsigned row;
    unsigned content;
};

static struct store_write random_write(struct write *write, unsigned name)
{
    struct store_write it = item(names[name], "");

    write->name = name;
    write->content = below(3);
    write->row = below(4);
    it.concept.content = text(contents[write->content]);
    it.concept.strength = (float)below(100) / 10;
    it.concept.confidence = (float)below(100) / 100;
    it.concept.access_count = below(5);
    it.concept.last_accessed_us = below(1000);
    it.concept.created_us = now_us;
    it.given = below(32);
    it.mode = below(2) == 0 ? STORE_LEARN : STORE_PUT;
    if (below(3) == 0)
        it.condition = (struct store_condition){ true, below(4) };
    if (write->row != 0) {
        write->vector = (struct store_vector){ row_of(write->row), ROW_BYTES, NULL, 0, NULL };
        it.vector = &write->vector;
    }
    it.association_count = below(3);
    it.associations = write->associations;
    for (size_t i = 0; i < it.association_count; i++) {
        write->keys[i] = random_key(name);
        write->associations[i] = association_of(write->keys[i]);
    }
    return it;
}

static void model_vector(struct model_concept *old, const struct write *write,
                         const struct store_write *it)
{
    bool keeps = it->mode == STORE_LEARN && old->exists && old->content == write->content;

    if (write->row == 0 && keeps)
        return;
    old->row = write->row;
    old->codebook_version = 0;
}

/* Returns whether the item is written. */
static bool model_write(const struct write *write, const struct store_write *it)
{
    struct model_concept *old = &concepts[write->name];
    bool learn = it->mode == STORE_LEARN && old->exists;

    if (it->condition.given && it->condition.version != old->version)
        return false;
    model_vector(old, write, it);
    if (!old->exists || (it->given & STORE_GIVEN_CREATED))
        old->created_us = it->concept.created_us;
    if (!learn || (it->given & STORE_GIVEN_STRENGTH))
        old->strength = it->concept.strength;
    if (!learn || (it->given & STORE_GIVEN_CONFIDENCE))
        old->confidence = it->concept.confidence;
    if (!learn || (it->given & STORE_GIVEN_ACCESS_COUNT))
        old->access_count = it->concept.access_count;
    if (!learn || (it->given & STORE_GIVEN_LAST_ACCESSED))
        old->last_accessed_us = it->concept.last_accessed_us;
    old->content = write->content;
    old->exists = true;
    old->version++;
    for (size_t i = 0; i < it->association_count; i++)
        model_associate(write->keys[i], &write->associations[i]);
    return true;
}

static void write_some(void)
{
    struct store_write_result results[3];
    struct store_write items[3];
    struct write writes[3];
    unsigned first = below(NAMES);
    struct status st = { 0 };
    size_t n = 0;

    for (size_t wanted = 1 + below(3); n < wanted;) {
        unsigned name = below(NAMES);
        if (home(name) == home(first)) {
            items[n] = random_write(&writes[n], name);
            n++;
        }
    }
    store_write(home(first)->store, items, n, false, results, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    for (size_t i = 0; i < n; i++) {
        bool written = model_write(&writes[i], &items[i]);
        cr_assert_eq(results[i].status.code, written ? STATUS_OK : STATUS_ABORTED);
        if (written)
            cr_assert_eq(results[i].created, results[i].version == 1);
    }
}

static void delete_one(void)
{
    unsigned name = below(NAMES);
    struct concept_id id = id_of(names[name]);
    struct status st = { 0 };
    bool existed;

    store_delete(home(name)->store, &id, (struct store_condition){ 0 }, false, &existed, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(existed, concepts[name].exists);
    concepts[name] = (struct model_concept){ 0 };
    memset(edges[name], 0, sizeof edges[name]);
    for (unsigned i = 0; i < NAMES; i++)
        memset(edges[i][name], 0, sizeof edges[i][name]);
}

static void associate_one(void)
{
    struct key key = random_key(below(NAMES));
    struct store_association association = association_of(key);
    struct store_association stored;
    struct status st = { 0 };
    bool created = false;

    store_associate(home(key.source)->store, &association, false, &stored, &created, &st);
    if (!concepts[key.source].exists) {
        cr_assert_eq(st.code, STATUS_NOT_FOUND);
        return;
    }
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    if (exact)
        cr_assert_eq(created, !model_edge(key)->exists);
    model_associate(key, &association);
}

static void dissociate_one(void)
{
    struct key key = random_key(below(NAMES));
    struct store_association association = association_of(key);
    struct status st = { 0 };
    bool existed;

    store_dissociate(home(key.source)->store, &association, false, &existed, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    if (exact)
        cr_assert_eq(existed, model_edge(key)->exists);
    model_edge(key)->exists = false;
}

static void reinforce_concept(void)
{
    unsigned name = below(NAMES);
    struct model_concept *model = &concepts[name];
    struct concept_id id = id_of(names[name]);
    struct text_view value;
    struct status st = { 0 };

    store_reinforce_concept(home(name)->store, &id, now_us, false, &home(name)->arena, &value, &st);
    cr_assert_eq(st.code, model->exists ? STATUS_OK : STATUS_NOT_FOUND);
    if (!model->exists)
        return;
    model->strength *= 1.02f;
    if (model->strength > 10)
        model->strength = 10;
    model->access_count++;
    model->last_accessed_us = now_us;
    model->version++;
}

static void reinforce_association(void)
{
    struct key key = random_key(below(NAMES));
    struct store_association association = association_of(key);
    struct model_edge *model = model_edge(key);
    struct store_association stored;
    struct status st = { 0 };

    store_reinforce_association(home(key.source)->store, &association, now_us, false, &stored, &st);
    if (exact)
        cr_assert_eq(st.code, model->exists ? STATUS_OK : STATUS_NOT_FOUND);
    model->weight = model->weight * 1.1f > 5 ? 5 : model->weight * 1.1f;
    model->confidence = model->confidence + 0.02f > 1 ? 1 : model->confidence + 0.02f;
    model->last_used_us = now_us;
}

static void set_code(void)
{
    static const uint8_t code[STORE_CODE_BYTES];
    unsigned name = below(NAMES);
    unsigned row = 1 + below(3);
    const struct store_code item = { id_of(names[name]), row_of(row), ROW_BYTES, code, false };
    uint64_t version = 1 + below(5);
    struct status st = { 0 };
    bool applied;

    store_set_codes(home(name)->store, &item, 1, version, &applied, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(applied, concepts[name].row == row);
    if (applied)
        concepts[name].codebook_version = version;
}

static void operate(void)
{
    static void (*const operations[])(void) = {
        write_some,    write_some,     write_some,        delete_one,
        associate_one, dissociate_one, reinforce_concept, reinforce_association,
        set_code,      associate_one,
    };

    now_us++;
    operations[below(sizeof operations / sizeof operations[0])]();
    if (exact)
        settle();
    else if (below(3) == 0)
        deliver(below(2), 1 + below(6), below(2) == 0);
    if (below(200) == 0)
        store_fixture_reopen(&shards[below(2)]);
}

/* ---- Comparison --------------------------------------------------------------------------- */

static void compare_concept(unsigned name)
{
    const struct model_concept *model = &concepts[name];
    struct store_fixture *f = home(name);
    struct concept_id id = id_of(names[name]);
    struct store_vector vector;
    struct status st = { 0 };
    struct concept read;

    cr_assert_eq(exists(f, names[name]), model->exists);
    store_get_vectors(f->store, &id, 1, &f->arena, &vector, &st);
    cr_assert_eq(vector.refinement != NULL, model->row != 0);
    if (model->row != 0) {
        cr_assert_arr_eq(vector.refinement, row_of(model->row), ROW_BYTES);
        cr_assert_eq(vector.codebook_version, model->codebook_version);
    }
    if (!model->exists)
        return;
    read = read_one(f, names[name]);
    cr_assert(text_is(read.content, contents[model->content]));
    cr_assert_eq(read.version, model->version);
    cr_assert_eq(read.strength, model->strength);
    cr_assert_eq(read.confidence, model->confidence);
    cr_assert_eq(read.access_count, model->access_count);
    cr_assert_eq(read.created_us, model->created_us);
    cr_assert_eq(read.last_accessed_us, model->last_accessed_us);
}

static bool same_key(const struct store_association *a, const struct store_association *b)
{
    return a->type == b->type &&
           concept_id_compare(a->source.data, a->source.length, b->source.data, b->source.length) ==
               0 &&
           concept_id_compare(a->target.data, a->target.length, b->target.data, b->target.length) ==
               0 &&
           concept_id_compare(a->label.data, a->label.length, b->label.data, b->label.length) == 0;
}

static void expect_in_record(const struct store_association *out, unsigned target)
{
    struct store_neighbors in = neighbors(home(target), names[target], STORE_IN);

    for (size_t i = 0; i < in.count; i++) {
        if (!same_key(&in.items[i], out))
            continue;
        cr_assert_eq(in.items[i].weight, out->weight);
        cr_assert_eq(in.items[i].confidence, out->confidence);
        cr_assert_eq(in.items[i].created_us, out->created_us);
        cr_assert_eq(in.items[i].last_used_us, out->last_used_us);
        cr_assert_eq(in.items[i].stamp, out->stamp);
        return;
    }
    cr_assert_fail("an association has one record");
}

static void expect_model_edge(const struct store_association *out, unsigned source, unsigned target)
{
    struct key key = { source, target, out->type - 1u, text_is(out->label, labels[0]) ? 0 : 1 };
    const struct model_edge *model = model_edge(key);

    cr_assert(model->exists);
    cr_assert_eq(out->weight, model->weight);
    cr_assert_eq(out->confidence, model->confidence);
    cr_assert_eq(out->created_us, model->created_us);
    cr_assert_eq(out->last_used_us, model->last_used_us);
}

static size_t compare_out(unsigned source)
{
    struct store_neighbors out = neighbors(home(source), names[source], STORE_OUT);

    for (size_t i = 0; i < out.count; i++) {
        unsigned target = 0;
        while (!text_is(out.items[i].target, names[target]))
            target++;
        expect_in_record(&out.items[i], target);
        if (exact)
            expect_model_edge(&out.items[i], source, target);
    }
    return out.count;
}

static size_t count_model_edges(void)
{
    const struct model_edge *edge = &edges[0][0][0][0];
    size_t count = 0;

    for (size_t i = 0; i < sizeof edges / sizeof *edge; i++)
        count += edge[i].exists;
    return count;
}

static void compare(void)
{
    size_t outs = 0;
    size_t ins = 0;

    settle();
    for (unsigned i = 0; i < NAMES; i++) {
        compare_concept(i);
        outs += compare_out(i);
        ins += neighbors(home(i), names[i], STORE_IN).count;
    }
    cr_assert_eq(outs, ins, "%zu out records, %zu in records", outs, ins);
    if (exact)
        cr_assert_eq(outs, count_model_edges());
    store_fixture_verify(shards[0].store);
    store_fixture_verify(shards[1].store);
    arena_reset(&shards[0].arena);
    arena_reset(&shards[1].arena);
}

static void run_seed(uint64_t seed)
{
    fprintf(stderr, "seed %llu%s\n", (unsigned long long)seed, exact ? ", exact" : "");
    state = seed * UINT64_C(0x9e3779b97f4a7c15);
    open_world();
    for (int i = 0; i < OPERATIONS; i++) {
        operate();
        if (i % 50 == 49)
            compare();
    }
    close_world();
}

Test(store_property, two_shards_hold_what_the_model_holds, .timeout = 240)
{
    exact = true;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

Test(store_property, lagging_deliveries_leave_no_half_association, .timeout = 240)
{
    exact = false;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}
