#include "src/ids/topology.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/alloc_fault.h"

static struct topology *parse(const char *json)
{
    struct topology *topology = NULL;
    struct status st = { 0 };

    cr_assert_eq(topology_parse(json, strlen(json), &topology, &st), STATUS_OK, "%s", st.message);
    return topology;
}

static void expect_refused(const char *json, const char *message)
{
    struct topology *topology = NULL;
    struct status st = { 0 };

    cr_expect_eq(topology_parse(json, strlen(json), &topology, &st), STATUS_INVALID_ARGUMENT, "%s",
                 json);
    cr_expect_not_null(strstr(st.message, message), "'%s' does not say '%s'", st.message, message);
    cr_expect_null(topology);
}

Test(topology, splits_slots_evenly_and_in_order)
{
    static const char *const lists[] = { "a", "a,b", "a,b,c", "a,b,c,d,e,f,g" };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct topology *topology = NULL;
        struct status st = { 0 };
        uint32_t owned[8] = { 0 };
        cr_assert_eq(topology_even(lists[i], 1, &topology, &st), STATUS_OK);
        for (int slot = 0; slot < SLOT_COUNT; slot++) {
            owned[topology->owner[slot]]++;
            cr_expect(slot == 0 || topology->owner[slot] >= topology->owner[slot - 1]);
        }
        for (uint32_t s = 0; s < topology->shard_count; s++) {
            cr_expect_geq(owned[s], SLOT_COUNT / topology->shard_count);
            cr_expect_leq(owned[s], SLOT_COUNT / topology->shard_count + 1);
        }
        topology_unref(topology);
    }
}

Test(topology, keeps_addresses_and_epoch)
{
    struct topology *topology = NULL;
    struct status st = { 0 };

    cr_assert_eq(topology_even("127.0.0.1:7401,unix:/run/s1", 9, &topology, &st), STATUS_OK);
    cr_expect_eq(topology->epoch, 9);
    cr_expect_eq(topology->shard_count, 2);
    cr_expect_str_eq(topology->addresses[0], "127.0.0.1:7401");
    cr_expect_str_eq(topology->addresses[1], "unix:/run/s1");
    topology_unref(topology);
}

Test(topology, a_list_with_an_empty_address_is_refused)
{
    static const char *const lists[] = { "", "a,", ",a", "a,,b" };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct topology *topology = NULL;
        struct status st = { 0 };
        cr_expect_eq(topology_even(lists[i], 1, &topology, &st), STATUS_INVALID_ARGUMENT);
        cr_expect_not_null(strstr(st.message, "empty address"), "%s", st.message);
        cr_expect_null(topology);
    }
}

Test(topology, has_at_most_1024_shards)
{
    struct topology *topology = NULL;
    struct status st = { 0 };
    enum { ENTRY_BYTES = 5 }; /* "0000," */
    char list[ENTRY_BYTES * (TOPOLOGY_MAX_SHARDS + 1) + 1];

    for (int i = 0; i <= TOPOLOGY_MAX_SHARDS; i++) {
        char entry[16];
        snprintf(entry, sizeof entry, "%04d,", i);
        memcpy(list + ENTRY_BYTES * i, entry, ENTRY_BYTES);
    }
    list[ENTRY_BYTES * (TOPOLOGY_MAX_SHARDS + 1) - 1] = '\0';
    cr_expect_eq(topology_even(list, 1, &topology, &st), STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(st.message, "a topology has 1 to 1024 shards, not 1025");
    status_clear(&st);
    list[ENTRY_BYTES * TOPOLOGY_MAX_SHARDS - 1] = '\0';
    cr_assert_eq(topology_even(list, 1, &topology, &st), STATUS_OK);
    cr_expect_eq(topology->owner[SLOT_COUNT - 1], TOPOLOGY_MAX_SHARDS - 1);
    topology_unref(topology);
}

Test(topology, reads_slots_from_json)
{
    struct topology *topology =
        parse("{\"epoch\": 7, \"shards\": [{\"address\": \"x:1\", \"slots\": \"0-2047,4095\"},"
              " {\"address\": \"unix:/y\", \"slots\": \"2048-4000,4001-4094\"}]}");

    cr_expect_eq(topology->epoch, 7);
    cr_expect_eq(topology->owner[0], 0);
    cr_expect_eq(topology->owner[2047], 0);
    cr_expect_eq(topology->owner[2048], 1);
    cr_expect_eq(topology->owner[4094], 1);
    cr_expect_eq(topology->owner[4095], 0);
    topology_unref(topology);
}

Test(topology, without_slots_json_splits_like_a_list)
{
    struct topology *json =
        parse("{\"epoch\": 1, \"shards\": [{\"address\": \"a\"}, {\"address\": \"b\"},"
              " {\"address\": \"c\"}]}");
    struct topology *list = NULL;
    struct status st = { 0 };

    cr_assert_eq(topology_even("a,b,c", 1, &list, &st), STATUS_OK);
    cr_expect_eq(memcmp(json->owner, list->owner, sizeof json->owner), 0);
    topology_unref(json);
    topology_unref(list);
}

Test(topology, a_shard_may_own_nothing)
{
    struct topology *topology =
        parse("{\"epoch\": 1, \"shards\": [{\"address\": \"a\", \"slots\": \"0-4095\"},"
              " {\"address\": \"b\", \"slots\": \"\"}]}");

    cr_expect_eq(topology->shard_count, 2);
    topology_unref(topology);
}

#define TWO(slots_a, slots_b)                                                                      \
    "{\"epoch\": 1, \"shards\": [{\"address\": \"a\", \"slots\": \"" slots_a                       \
    "\"}, {\"address\": \"b\", \"slots\": \"" slots_b "\"}]}"

Test(topology, every_slot_has_exactly_one_owner)
{
    expect_refused(TWO("0-2047", "2047-4095"), "slot 2047 is given to shards 0 and 1");
    expect_refused(TWO("0-2047", "2049-4095"), "slot 2048 has no owner");
    expect_refused(TWO("0-2047", "2048-4096"), "slots 2048-4096 are not within 0-4095");
    expect_refused(TWO("0-2047", "4095-2048"), "slots 4095-2048 are not within 0-4095");
    expect_refused("{\"epoch\": 1, \"shards\": [{\"address\": \"a\", \"slots\": \"0-2047\"},"
                   " {\"address\": \"b\"}]}",
                   "slot 2048 has no owner");
}

Test(topology, malformed_slots_are_quoted)
{
    expect_refused(TWO("0-2047", "x"), "slots 'x' is not like");
    expect_refused(TWO("0-2047", "2048-"), "slots '2048-' is not like");
    expect_refused(TWO("0-2047", "2048-4095;"), "is not like");
    expect_refused(TWO("0-2047", "99999999999999999999"), "not within");
    expect_refused(TWO("0-2047", "-1"), "not within");
}

Test(topology, says_what_is_wrong_with_its_json)
{
    expect_refused("", "line 1");
    expect_refused("{\n\"epoch\": 1,\n}", "line 3");
    expect_refused("{\"epoch\": 1, \"epoch\": 2, \"shards\": []}", "duplicate");
    expect_refused("[]", "\"epoch\" is not a number of at least 1");
    expect_refused("{\"shards\": [{\"address\": \"a\"}]}", "\"epoch\"");
    expect_refused("{\"epoch\": 0, \"shards\": [{\"address\": \"a\"}]}", "\"epoch\"");
    expect_refused("{\"epoch\": \"1\", \"shards\": [{\"address\": \"a\"}]}", "\"epoch\"");
    expect_refused("{\"epoch\": 1}", "\"shards\" is not a list");
    expect_refused("{\"epoch\": 1, \"shards\": []}", "1 to 1024 shards, not 0");
    expect_refused("{\"epoch\": 1, \"shards\": [7]}", "shard 0 has no \"address\"");
    expect_refused("{\"epoch\": 1, \"shards\": [{\"address\": \"\"}]}", "empty address");
    expect_refused("{\"epoch\": 1, \"shards\": [{\"address\": \"a\"}, {\"address\": \"a\"}]}",
                   "shards 0 and 1 have one address");
    expect_refused("{\"epoch\": 1, \"shards\": [{\"address\": \"a\", \"slots\": 5}]}",
                   "\"slots\" is not a string");
}

Test(topology, a_file_is_named_in_its_errors)
{
    char path[] = "/tmp/topology-XXXXXX";
    struct topology *topology = NULL;
    struct status st = { 0 };
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "{\"epoch\": 3, \"shards\": [{\"address\": \"a\"}]}", 42), 42);
    cr_expect_eq(topology_load(path, &topology, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(topology->epoch, 3);
    topology_unref(topology);
    cr_assert_eq(ftruncate(fd, 10), 0);
    cr_expect_eq(topology_load(path, &topology, &st), STATUS_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(st.message, path), "%s", st.message);
    status_clear(&st);
    close(fd);
    unlink(path);
    cr_expect_eq(topology_load(path, &topology, &st), STATUS_NOT_FOUND);
    cr_expect_not_null(strstr(st.message, path), "%s", st.message);
}

Test(topology, runs_tell_where_the_owner_changes)
{
    struct topology *topology =
        parse("{\"epoch\": 1, \"shards\": [{\"address\": \"a\", \"slots\": \"0-9,20-4095\"},"
              " {\"address\": \"b\", \"slots\": \"10-19\"}]}");
    static const struct slot_run expected[] = { { 0, 9, 0 }, { 10, 19, 1 }, { 20, 4095, 0 } };
    uint32_t slot = 0;

    for (size_t i = 0; i < 3; i++) {
        struct slot_run run = topology_run_at(topology, (uint16_t)slot);
        cr_expect_eq(run.first, expected[i].first);
        cr_expect_eq(run.last, expected[i].last);
        cr_expect_eq(run.shard, expected[i].shard);
        slot = run.last + 1u;
    }
    cr_expect_eq(slot, SLOT_COUNT);
    cr_expect_eq(topology_run_at(topology, 15).first, 15, "a run starts where it was asked for");
    cr_expect_eq(topology_run_at(topology, 4095).last, 4095);
    topology_unref(topology);
}

Test(topology, lives_until_its_last_reference)
{
    struct topology *topology = parse("{\"epoch\": 1, \"shards\": [{\"address\": \"a\"}]}");

    cr_expect_eq(topology_ref(topology), topology);
    topology_unref(topology);
    cr_expect_str_eq(topology->addresses[0], "a");
    topology_unref(topology);
    topology_unref(NULL);
}

Test(topology, running_out_of_memory_is_a_status)
{
    int failures = 0;

    for (int n = 1;; n++) {
        struct topology *topology = NULL;
        struct status st = { 0 };
        alloc_fault_at(n);
        topology_even("a,b,c", 1, &topology, &st);
        if (!alloc_fault_clear()) {
            cr_expect_eq(st.code, STATUS_OK);
            topology_unref(topology);
            break;
        }
        failures++;
        cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
        cr_expect_null(topology);
    }
    cr_expect_eq(failures, 5, "the topology, its list, three addresses");
}
