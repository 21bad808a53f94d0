#ifndef SUTRA_IDS_TOPOLOGY_H
#define SUTRA_IDS_TOPOLOGY_H

/**
 * Which shard owns which slot, under an epoch that grows with every change.
 *
 * Immutable and reference-counted once made: any thread may read it. Every slot has exactly one
 * owner.
 *
 * As a file, JSON: {"epoch": 7, "shards": [{"address": "10.0.0.1:7401", "slots": "0-2047"},
 *                                          {"address": "unix:/run/s1", "slots":
 * "2048-4000,4001-4095"}]} A shard's number is its place in the list. Without any "slots" the slots
 * are split evenly, in order.
 */

#include <stdint.h>

#include "src/base/status.h"
#include "src/ids/concept_id.h"

enum { TOPOLOGY_MAX_SHARDS = 1024 };

struct topology {
    uint64_t epoch; /* at least 1 */
    uint32_t shard_count;
    char **addresses;           /* [shard_count] "host:port" or "unix:/path" */
    uint16_t owner[SLOT_COUNT]; /* shard number */
    uint32_t refs;              /* topology_ref(), topology_unref() */
};

/** @addresses: comma-separated; the slots are split evenly, in order. INVALID_ARGUMENT if it is no
 * such list. */
enum status_code topology_even(const char *addresses, uint64_t epoch, struct topology **ret,
                               struct status *st);

/** Parses the JSON above. INVALID_ARGUMENT with what is wrong. */
enum status_code topology_parse(const char *json, size_t size, struct topology **ret,
                                struct status *st);

/** topology_parse() of a file's content. */
enum status_code topology_load(const char *path, struct topology **ret, struct status *st);

struct topology *topology_ref(struct topology *topology);
void topology_unref(struct topology *topology); /* NULL is fine */

/** A run of neighbouring slots with one owner. */
struct slot_run {
    uint16_t first;
    uint16_t last; /* inclusive */
    uint16_t shard;
};

/** The run that contains @slot, extended to its last slot (its first is @slot). */
struct slot_run topology_run_at(const struct topology *topology, uint16_t slot);

#endif
