/* Two stores that share the slots between them, as two shards do. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "src/store/store.h"
#include "tests/support/store_fixture.h"

static bool owns_even(void *context, uint16_t slot)
{
    (void)context;
    return slot % 2 == 0;
}

static bool owns_odd(void *context, uint16_t slot)
{
    (void)context;
    return slot % 2 != 0;
}

static struct store_fixture even;
static struct store_fixture odd;

/* Ids whose slots the one or the other owns. */
static char even_id[2][16];
static char odd_id[2][16];

static void find_ids(void)
{
    size_t evens = 0;
    size_t odds = 0;
    char id[16];

    for (int i = 0; evens < 2 || odds < 2; i++) {
        snprintf(id, sizeof id, "id%d", i);
        if (id_of(id).slot % 2 == 0 && evens < 2)
            strcpy(even_id[evens++], id);
        if (id_of(id).slot % 2 != 0 && odds < 2)
            strcpy(odd_id[odds++], id);
    }
}

static void open_both(void)
{
    find_ids();
    store_fixture_open(&even);
    store_fixture_open(&odd);
    even.options.owns = owns_even;
    odd.options.owns = owns_odd;
    store_fixture_reopen(&even);
    store_fixture_reopen(&odd);
    learn(&even, even_id[0], "x");
    learn(&even, even_id[1], "x");
    learn(&odd, odd_id[0], "x");
    learn(&odd, odd_id[1], "x");
}

static void close_both(void)
{
    store_fixture_close(&even);
    store_fixture_close(&odd);
}

TestSuite(store_outbox, .init = open_both, .fini = close_both);

static struct store_stats stats(struct store_fixture *f)
{
    struct store_stats stats = { 0 };
    struct status st = { 0 };

    store_stats(f->store, &stats, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return stats;
}

struct delivery {
    struct store_outbox_entry *entries;
    size_t count;
};

static struct delivery peek(struct store_fixture *from, size_t max)
{
    struct delivery delivery = { 0 };
    struct status st = { 0 };

    store_outbox_peek(from->store, 0, max, &from->arena, &delivery.entries, &delivery.count, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return delivery;
}

static void apply(struct store_fixture *to, const struct delivery *delivery)
{
    struct status st = { 0 };

    for (size_t i = 0; i < delivery->count; i++)
        store_apply_edges(to->store, &delivery->entries[i].op, 1, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

static void forget(struct store_fixture *from, const struct delivery *delivery)
{
    struct status st = { 0 };

    for (size_t i = 0; i < delivery->count; i++)
        store_outbox_remove(from->store, &delivery->entries[i].sequence, 1, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

/* Until both outboxes are empty. */
static void settle(void)
{
    while (stats(&even).outbox_pending + stats(&odd).outbox_pending > 0) {
        struct delivery from_even = peek(&even, 100);
        struct delivery from_odd = peek(&odd, 100);
        apply(&odd, &from_even);
        apply(&even, &from_odd);
        forget(&even, &from_even);
        forget(&odd, &from_odd);
    }
}

static void associate(struct store_fixture *f, const char *source, const char *target)
{
    struct store_association association = edge(source, target, 1, "x");
    struct store_association stored;
    struct status st = { 0 };
    bool created;

    store_associate(f->store, &association, true, &stored, &created, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

static void dissociate(struct store_fixture *f, const char *source, const char *target)
{
    struct store_association association = edge(source, target, 1, "x");
    struct status st = { 0 };
    bool existed;

    store_dissociate(f->store, &association, true, &existed, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

static void delete (struct store_fixture *f, const char *name)
{
    struct concept_id id = id_of(name);
    struct status st = { 0 };
    bool existed;

    store_delete(f->store, &id, (struct store_condition){ 0 }, true, &existed, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

static void expect_edges(uint64_t count)
{
    cr_expect_eq(stats(&even).associations_out + stats(&odd).associations_out, count, "out");
    cr_expect_eq(stats(&even).associations_in + stats(&odd).associations_in, count, "in");
}

Test(store_outbox, delivers_an_association_to_its_target)
{
    struct store_association in;

    associate(&even, even_id[0], odd_id[0]);
    cr_expect_eq(neighbors(&odd, odd_id[0], STORE_IN).count, 0);
    cr_expect_eq(stats(&even).outbox_pending, 1);
    settle();
    in = neighbors(&odd, odd_id[0], STORE_IN).items[0];
    cr_expect(text_is(in.source, even_id[0]));
    cr_expect(text_is(in.label, "x"));
    cr_expect_eq(in.confidence, 0.5f);
    cr_expect_eq(in.stamp, neighbors(&even, even_id[0], STORE_OUT).items[0].stamp);
}

Test(store_outbox, sends_nothing_where_both_ends_are_here)
{
    associate(&even, even_id[0], even_id[1]);
    cr_expect_eq(stats(&even).outbox_pending, 0);
    expect_edges(1);
}

Test(store_outbox, entries_name_the_slot_that_receives_them)
{
    associate(&even, even_id[0], odd_id[0]);
    cr_expect_eq(peek(&even, 1).entries[0].slot, id_of(odd_id[0]).slot);
    settle();
    delete (&odd, odd_id[0]);
    cr_expect_eq(peek(&odd, 1).entries[0].op.kind, STORE_DELETE_OUT);
    cr_expect_eq(peek(&odd, 1).entries[0].slot, id_of(even_id[0]).slot);
}

Test(store_outbox, deleting_either_end_removes_both_records)
{
    associate(&even, even_id[0], odd_id[0]);
    associate(&odd, odd_id[1], even_id[0]);
    associate(&odd, odd_id[1], odd_id[0]);
    settle();
    expect_edges(3);
    delete (&even, even_id[0]);
    settle();
    expect_edges(1);
}

Test(store_outbox, reinforcement_reaches_the_other_record)
{
    struct store_association key = edge(even_id[0], odd_id[0], 1, "x");
    struct store_association stored;
    struct status st = { 0 };

    associate(&even, even_id[0], odd_id[0]);
    settle();
    store_reinforce_association(even.store, &key, 42, true, &stored, &st);
    settle();
    cr_expect_eq(neighbors(&odd, odd_id[0], STORE_IN).items[0].last_used_us, 42);
}

Test(store_outbox, delivering_again_changes_nothing)
{
    struct delivery delivery;

    associate(&even, even_id[0], odd_id[0]);
    associate(&even, even_id[1], odd_id[0]);
    dissociate(&even, even_id[0], odd_id[0]);
    delivery = peek(&even, 100);
    for (int i = 0; i < 3; i++)
        apply(&odd, &delivery);
    forget(&even, &delivery);
    forget(&even, &delivery);
    cr_expect_eq(stats(&even).outbox_pending, 0);
    expect_edges(1);
}

Test(store_outbox, a_delivery_that_was_overtaken_brings_nothing_back)
{
    struct delivery late;

    associate(&even, even_id[0], odd_id[0]);
    late = peek(&even, 1);
    dissociate(&even, even_id[0], odd_id[0]);
    settle();
    apply(&odd, &late);
    expect_edges(0);
    associate(&even, even_id[0], odd_id[0]);
    settle();
    expect_edges(1);
}

Test(store_outbox, a_late_delivery_undoes_nothing_newer)
{
    struct store_association key = edge(even_id[0], odd_id[0], 1, "x");
    struct store_association stored;
    struct delivery late;
    struct status st = { 0 };

    associate(&even, even_id[0], odd_id[0]);
    dissociate(&even, even_id[0], odd_id[0]);
    late = peek(&even, 2);
    associate(&even, even_id[0], odd_id[0]);
    store_reinforce_association(even.store, &key, 42, true, &stored, &st);
    settle();
    for (size_t i = 0; i < 2; i++) { /* each alone: the put, then the removal */
        struct delivery one = { &late.entries[i], 1 };
        apply(&odd, &one);
        cr_assert_eq(neighbors(&odd, odd_id[0], STORE_IN).count, 1);
        cr_expect_eq(neighbors(&odd, odd_id[0], STORE_IN).items[0].stamp, stored.stamp);
        cr_expect_eq(neighbors(&odd, odd_id[0], STORE_IN).items[0].last_used_us, 42);
    }
}

/* The sender dies before it forgets; the target is deleted; both start again. */
Test(store_outbox, a_repeated_put_does_not_outlive_a_deleted_target)
{
    struct delivery delivery;

    associate(&even, even_id[0], odd_id[0]);
    delivery = peek(&even, 1);
    apply(&odd, &delivery);
    delete (&odd, odd_id[0]);
    store_fixture_reopen(&odd);
    store_fixture_reopen(&even);
    delivery = peek(&even, 1);
    apply(&odd, &delivery);
    cr_expect_eq(stats(&odd).associations_in, 1, "the put came back");
    settle();
    expect_edges(0);
}

Test(store_outbox, an_edge_written_anew_survives_the_deletion_of_the_old)
{
    struct delivery deletion;

    associate(&even, even_id[0], odd_id[0]);
    settle();
    delete (&odd, odd_id[0]);
    deletion = peek(&odd, 1);
    associate(&even, even_id[0], odd_id[0]);
    apply(&even, &deletion);
    settle();
    expect_edges(1);
}

Test(store_outbox, never_repeats_a_sequence)
{
    uint64_t last;

    associate(&even, even_id[0], odd_id[0]);
    last = peek(&even, 1).entries[0].sequence;
    settle();
    for (int i = 0; i < 3; i++) {
        store_fixture_reopen(&even);
        associate(&even, even_id[0], odd_id[0]);
        cr_expect_gt(peek(&even, 1).entries[0].sequence, last);
        last = peek(&even, 1).entries[0].sequence;
        cr_expect_eq(neighbors(&even, even_id[0], STORE_OUT).items[0].stamp, last);
        settle();
    }
}

Test(store_outbox, is_peeked_in_pages)
{
    struct store_outbox_entry *entries;
    struct status st = { 0 };
    uint64_t after = 0;
    size_t total = 0;
    size_t count;

    for (int i = 0; i < 10; i++)
        associate(&even, even_id[0], odd_id[0]);
    do {
        store_outbox_peek(even.store, after, 3, &even.arena, &entries, &count, &st);
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
        for (size_t i = 0; i < count; i++) {
            cr_expect_gt(entries[i].sequence, after);
            after = entries[i].sequence;
        }
        total += count;
    } while (count == 3);
    cr_expect_eq(total, 10);
    store_fixture_reopen(&even);
    cr_expect_eq(stats(&even).outbox_pending, 10);
    settle();
    expect_edges(1);
}

Test(store_outbox, refuses_operations_that_cannot_be)
{
    struct store_edge_op ops[] = { { STORE_PUT_IN, edge(even_id[0], odd_id[0], 1, "x") },
                                   { STORE_PUT_IN, edge(even_id[0], odd_id[0], 9, "x") } };
    struct status st = { 0 };

    store_apply_edges(odd.store, ops, 2, &st);
    cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(st.field, "ops[1].association.type");
    status_clear(&st);
    ops[1] = ops[0];
    ops[1].kind = (enum store_edge_kind)7;
    store_apply_edges(odd.store, ops, 2, &st);
    cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT);
    expect_edges(0);
}
