#ifndef SUTRA_SHARD_CONVERT_H
#define SUTRA_SHARD_CONVERT_H

/**
 * Between protobuf messages and the store's structs: the only place that knows both. Everything
 * borrows from its source or lies in the arena; NULL or false means that the arena is full.
 */

#include <stdbool.h>

#include "src/base/arena.h"
#include "src/store/store.h"
#include "sutra/v1/concept_service.pb-c.h"

struct text_view convert_text(const char *text);

/** All of @item but its vector. @now_us fills in times that are not given. */
bool convert_write(const Sutra__V1__ConceptInput *item, const struct concept_id *id,
                   enum store_write_mode mode, int64_t now_us, struct arena *arena,
                   struct store_write *ret);

struct store_association convert_association(const Sutra__V1__Association *from, int64_t now_us);

struct store_association convert_key(const Sutra__V1__AssociationKey *from);

Sutra__V1__Association *convert_association_back(const struct store_association *from,
                                                 struct arena *arena);

#endif
