#ifndef SUTRA_SHARD_OP_H
#define SUTRA_SHARD_OP_H

/**
 * One request to this shard, from another process or from the cluster library in this one.
 *
 * An op is a plain function that may block; it fills in a reply or a status. Quick ones run where
 * the request arrives, the others on the shard's pool. Each has its own arena.
 */

#include "shard/shard.h"
#include "src/base/arena.h"
#include "src/ids/concept_id.h"
#include "src/rpc/call.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

struct op {
    struct shard *shard;
    struct rpc_call *call; /* on whose behalf; NULL: the shard's own */
    struct arena arena;    /* ends with the op */
    const ProtobufCMessage *request;
    struct rpc_bytes *encoded; /* the request as it came, if it came encoded */
    /* The reply, one of the two. */
    const ProtobufCMessage *message; /* in the arena */
    struct rpc_bytes *bytes;
};

typedef enum status_code op_fn(struct op *op, struct status *st);

/** FAILED_PRECONDITION, reason SLOT_NOT_OWNED with the owner in the error's metadata, for a slot of
 * another shard. */
enum status_code op_check_owner(struct op *op, uint16_t slot, struct status *st);

/** The same for the slots of @n ids. */
enum status_code op_check_owners(struct op *op, const struct concept_id *ids, size_t n,
                                 struct status *st);

/** Parses an id and checks that it lives here. */
enum status_code op_own_id(struct op *op, const char *id, struct concept_id *ret,
                           struct status *st);

/** The ids of a batch, all of which must live here. */
enum status_code op_own_ids(struct op *op, char *const *ids, size_t n, struct concept_id **ret,
                            struct status *st);

/** Checks the name of an association whose source must live here; @ret borrows from it. */
enum status_code op_own_key(struct op *op, const Sutra__V1__AssociationKey *key,
                            struct store_association *ret, struct status *st);

/** Whether nobody waits for the answer any more, or, of one of the shard's own, the shard is
 * ending; fits segment_search(). */
bool op_cancelled(void *op);

/** Whether a write is answered only when it is in the synced log. */
static inline bool op_synced(Sutra__V1__Durability durability)
{
    return durability != SUTRA__V1__DURABILITY__DURABILITY_BUFFERED;
}

/** The most that a reply may have. */
size_t op_max_reply_bytes(const struct op *op);

/** Ends with the reply encoded in @reply, which is emptied, unless @st says otherwise. */
enum status_code op_reply(struct op *op, struct buf *reply, struct status *st);

/** A zeroed message of the arena is op_new(op, sizeof …); NULL with RESOURCE_EXHAUSTED when it is
 * full. */
void *op_new(struct op *op, size_t size, struct status *st);

/** What is known of a codebook besides its drift; @ret in any state. */
void op_fill_codebook(const struct op *op, const struct codebook_info *info,
                      Sutra__V1__CodebookStats *ret);

/* The verbs. */
op_fn op_get, op_batch_get, op_list_page, op_stats;
op_fn op_write, op_delete, op_reinforce;
op_fn op_associate, op_dissociate, op_neighbors, op_apply_edges;
op_fn op_candidates, op_vectors, op_distance;
bool op_candidates_is_quick(const struct op *op);
op_fn op_train, op_sample, op_install_codebook, op_switch_codebook, op_calibrate, op_cell_sizes;

#endif
