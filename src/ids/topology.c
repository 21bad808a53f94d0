#include "src/ids/topology.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNOWNED = UINT16_MAX, FILE_MAX_BYTES = 1 << 20 };

static struct topology *topology_new(uint64_t epoch, size_t shard_count, struct status *st)
{
    struct topology *topology = calloc(1, sizeof *topology);

    if (topology != NULL)
        topology->addresses = calloc(shard_count, sizeof *topology->addresses);
    if (topology == NULL || topology->addresses == NULL) {
        free(topology);
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    topology->epoch = epoch;
    topology->refs = 1;
    memset(topology->owner, 0xFF, sizeof topology->owner);
    return topology;
}

struct topology *topology_ref(struct topology *topology)
{
    __atomic_add_fetch(&topology->refs, 1, __ATOMIC_RELAXED);
    return topology;
}

void topology_unref(struct topology *topology)
{
    if (topology == NULL || __atomic_sub_fetch(&topology->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t i = 0; i < topology->shard_count; i++)
        free(topology->addresses[i]);
    free(topology->addresses);
    free(topology);
}

static enum status_code add_shard(struct topology *topology, const char *address, size_t length,
                                  struct status *st)
{
    char *copy;

    if (length == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "shard %u has an empty address",
                          topology->shard_count);
    for (uint32_t i = 0; i < topology->shard_count; i++)
        if (strlen(topology->addresses[i]) == length &&
            memcmp(topology->addresses[i], address, length) == 0)
            return status_set(st, STATUS_INVALID_ARGUMENT, "shards %u and %u have one address", i,
                              topology->shard_count);
    copy = strndup(address, length);
    if (copy == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    topology->addresses[topology->shard_count++] = copy;
    return STATUS_OK;
}

static void split_evenly(struct topology *topology)
{
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        topology->owner[slot] = (uint16_t)(slot * topology->shard_count / SLOT_COUNT);
}

static enum status_code check_shard_count(size_t count, struct status *st)
{
    if (count < 1 || count > TOPOLOGY_MAX_SHARDS)
        return status_set(st, STATUS_INVALID_ARGUMENT, "a topology has 1 to %d shards, not %zu",
                          TOPOLOGY_MAX_SHARDS, count);
    return STATUS_OK;
}

static size_t count_items(const char *list)
{
    size_t count = 1;

    for (const char *p = list; *p != '\0'; p++)
        count += *p == ',';
    return count;
}

enum status_code topology_even(const char *addresses, uint64_t epoch, struct topology **ret,
                               struct status *st)
{
    size_t count = count_items(addresses);
    struct topology *topology = NULL;

    if (check_shard_count(count, st) != STATUS_OK)
        return st->code;
    topology = topology_new(epoch, count, st);
    if (topology == NULL)
        return st->code;
    for (const char *p = addresses; topology->shard_count < count;) {
        size_t length = strcspn(p, ",");
        if (add_shard(topology, p, length, st) != STATUS_OK) {
            topology_unref(topology);
            return st->code;
        }
        p += length + (p[length] == ',');
    }
    split_evenly(topology);
    *ret = topology;
    return STATUS_OK;
}

static enum status_code own_range(struct topology *topology, unsigned long first,
                                  unsigned long last, uint32_t shard, struct status *st)
{
    if (first > last || last >= SLOT_COUNT)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "shard %u: slots %lu-%lu are not within 0-%d", shard, first, last,
                          SLOT_COUNT - 1);
    for (unsigned long slot = first; slot <= last; slot++) {
        if (topology->owner[slot] != UNOWNED)
            return status_set(st, STATUS_INVALID_ARGUMENT, "slot %lu is given to shards %u and %u",
                              slot, topology->owner[slot], shard);
        topology->owner[slot] = (uint16_t)shard;
    }
    return STATUS_OK;
}

/* "0-1023,2048" */
static enum status_code own_ranges(struct topology *topology, const char *text, uint32_t shard,
                                   struct status *st)
{
    const char *p = text;

    while (*p != '\0') {
        char *end;
        unsigned long first = strtoul(p, &end, 10);
        unsigned long last = first;
        if (end == p)
            goto malformed;
        if (*end == '-') {
            p = end + 1;
            last = strtoul(p, &end, 10);
            if (end == p)
                goto malformed;
        }
        if (own_range(topology, first, last, shard, st) != STATUS_OK)
            return st->code;
        if (*end != ',' && *end != '\0')
            goto malformed;
        p = end + (*end == ',');
    }
    return STATUS_OK;
malformed:
    return status_set(st, STATUS_INVALID_ARGUMENT, "shard %u: slots '%s' is not like '0-1023,2048'",
                      shard, text);
}

static enum status_code check_all_owned(const struct topology *topology, struct status *st)
{
    for (int slot = 0; slot < SLOT_COUNT; slot++)
        if (topology->owner[slot] == UNOWNED)
            return status_set(st, STATUS_INVALID_ARGUMENT, "slot %d has no owner", slot);
    return STATUS_OK;
}

static enum status_code add_json_shard(struct topology *topology, const json_t *entry,
                                       size_t *with_slots, struct status *st)
{
    uint32_t shard = topology->shard_count;
    const json_t *address = json_object_get(entry, "address");
    const json_t *slots = json_object_get(entry, "slots");

    if (!json_is_string(address))
        return status_set(st, STATUS_INVALID_ARGUMENT, "shard %u has no \"address\"", shard);
    if (add_shard(topology, json_string_value(address), json_string_length(address), st) !=
        STATUS_OK)
        return st->code;
    if (slots == NULL)
        return STATUS_OK;
    if (!json_is_string(slots))
        return status_set(st, STATUS_INVALID_ARGUMENT, "shard %u: \"slots\" is not a string",
                          shard);
    *with_slots += 1;
    return own_ranges(topology, json_string_value(slots), shard, st);
}

static enum status_code fill_from_json(struct topology *topology, const json_t *shards,
                                       struct status *st)
{
    size_t with_slots = 0;

    for (size_t i = 0; i < json_array_size(shards); i++)
        if (add_json_shard(topology, json_array_get(shards, i), &with_slots, st) != STATUS_OK)
            return st->code;
    if (with_slots > 0)
        return check_all_owned(topology, st);
    split_evenly(topology);
    return STATUS_OK;
}

static enum status_code topology_from_json(const json_t *root, struct topology **ret,
                                           struct status *st)
{
    const json_t *epoch = json_object_get(root, "epoch");
    const json_t *shards = json_object_get(root, "shards");
    struct topology *topology;

    if (!json_is_integer(epoch) || json_integer_value(epoch) < 1)
        return status_set(st, STATUS_INVALID_ARGUMENT, "\"epoch\" is not a number of at least 1");
    if (!json_is_array(shards))
        return status_set(st, STATUS_INVALID_ARGUMENT, "\"shards\" is not a list");
    if (check_shard_count(json_array_size(shards), st) != STATUS_OK)
        return st->code;
    topology = topology_new((uint64_t)json_integer_value(epoch), json_array_size(shards), st);
    if (topology == NULL)
        return st->code;
    if (fill_from_json(topology, shards, st) != STATUS_OK) {
        topology_unref(topology);
        return st->code;
    }
    *ret = topology;
    return STATUS_OK;
}

enum status_code topology_parse(const char *json, size_t size, struct topology **ret,
                                struct status *st)
{
    json_error_t error;
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "topology: line %d: %s", error.line,
                          error.text);
    if (topology_from_json(root, ret, st) != STATUS_OK)
        status_wrap(st, "topology");
    json_decref(root);
    return st->code;
}

enum status_code topology_load(const char *path, struct topology **ret, struct status *st)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size;

    if (file == NULL) {
        status_set_errno(st, errno, "open topology '%s'", path);
        goto out;
    }
    text = malloc(FILE_MAX_BYTES);
    if (text == NULL) {
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        goto out;
    }
    size = fread(text, 1, FILE_MAX_BYTES, file);
    if (ferror(file) || size == FILE_MAX_BYTES) {
        status_set(st, STATUS_INVALID_ARGUMENT, "topology '%s' cannot be read or exceeds %d bytes",
                   path, FILE_MAX_BYTES);
        goto out;
    }
    if (topology_parse(text, size, ret, st) != STATUS_OK)
        status_wrap(st, "'%s'", path);
out:
    free(text);
    if (file != NULL)
        fclose(file);
    return st->code;
}

struct slot_run topology_run_at(const struct topology *topology, uint16_t slot)
{
    uint16_t last = slot;

    while (last + 1 < SLOT_COUNT && topology->owner[last + 1] == topology->owner[slot])
        last++;
    return (struct slot_run){ .first = slot, .last = last, .shard = topology->owner[slot] };
}
