#include "src/rpc/send_queue.h"

#include <assert.h>
#include <stdlib.h>

struct send_item *send_item_new(struct rpc_bytes *bytes, void *ctx)
{
    struct send_item *item = calloc(1, sizeof *item);

    assert(item != NULL); /* as gRPC's own allocator would */
    item->bytes = bytes;
    item->ctx = ctx;
    return item;
}

void send_item_free(struct send_item *item)
{
    rpc_bytes_free(item->bytes);
    free(item);
}

void send_queue_push(struct send_queue *queue, struct send_item *item)
{
    if (queue->first == NULL)
        queue->first = item;
    else
        queue->last->next = item;
    queue->last = item;
}

struct send_item *send_queue_pop(struct send_queue *queue)
{
    struct send_item *item = queue->first;

    assert(item != NULL);
    queue->first = item->next;
    return item;
}
