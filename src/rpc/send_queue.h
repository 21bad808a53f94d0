#ifndef SUTRA_RPC_SEND_QUEUE_H
#define SUTRA_RPC_SEND_QUEUE_H

/** Messages that wait for the one before them: gRPC sends one at a time per call. Not locked. */

#include <stdbool.h>

#include "src/rpc/bytes.h"

struct rpc_call;

struct send_item {
    struct send_item *next;
    struct rpc_bytes *bytes;
    /* Whom to tell; one of the two or none. */
    void (*call_sent)(struct rpc_call *call, bool ok, void *ctx);
    void (*client_sent)(void *ctx, bool ok);
    void *ctx;
};

/* `{0}` is empty. */
struct send_queue {
    struct send_item *first;
    struct send_item *last;
};

/** An item that takes @bytes. */
struct send_item *send_item_new(struct rpc_bytes *bytes, void *ctx);

void send_item_free(struct send_item *item);

/** Takes @item. */
void send_queue_push(struct send_queue *queue, struct send_item *item);

/** The oldest, to the caller. Asserts that there is one. */
struct send_item *send_queue_pop(struct send_queue *queue);

#endif
