#ifndef SUTRA_IDS_CONCEPT_ID_H
#define SUTRA_IDS_CONCEPT_ID_H

/**
 * The name of a concept, and the slot it lives in: slot = XXH3_64(id) mod 4096.
 *
 * Same id, same hash, same slot: on every machine and in every release (golden vectors in
 * tests/golden). Plain values, any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

enum {
    CONCEPT_ID_MAX_BYTES = 255,
    CONCEPT_ID_CONTENT_HEX = 32, /* digits of an id made from content */
    SLOT_COUNT = 4096,
};

struct concept_id {
    const char *data; /* borrowed, not NUL-terminated */
    size_t length;    /* 1–CONCEPT_ID_MAX_BYTES */
    uint64_t hash;    /* XXH3_64(data) */
    uint16_t slot;    /* hash mod SLOT_COUNT */
};

/** Checks that @data is 1–255 bytes of UTF-8 without NUL and hashes it. INVALID_ARGUMENT (field
 * "id") otherwise. The result borrows @data. */
enum status_code concept_id_parse(const char *data, size_t length, struct concept_id *ret,
                                  struct status *st);

/** For bytes that were checked before (a key of the store): hashes only. */
struct concept_id concept_id_trusted(const char *data, size_t length);

/** The id of a text that was given none: SHA-256(content), its first 128 bits as lower-case hex.
 * Writes CONCEPT_ID_CONTENT_HEX digits and a NUL. */
void concept_id_of_content(const char *content, size_t length,
                           char ret_hex[CONCEPT_ID_CONTENT_HEX + 1]);

/** memcmp order, a prefix before what it begins: the order of ids everywhere. <0, 0, >0. */
int concept_id_compare(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
