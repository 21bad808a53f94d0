/*
 * List: runs of slots one after the other, page by page; the next page is asked for when the
 * transport has accepted the last. So the order, (slot, id), is the same on every cluster, and one
 * page is in memory at a time.
 */

#include <string.h>

#include "src/cluster/cluster_internal.h"

struct list {
    struct verb verb;
    struct slot_run run; /* being read; first and after_id move on */
    char after_id[CONCEPT_ID_MAX_BYTES + 1];
    uint32_t page_size;
    uint64_t left; /* concepts still wanted */
    bool include_embedding;
    bool run_done; /* nothing follows in the run */
    struct arena page;
    Sutra__Internal__V1__ListPageRequest request;
};

enum { CURSOR_SLOT_BYTES = 2 };

static void ask_for_page(struct list *list);

static void end_list(struct list *list, const struct status *st)
{
    arena_deinit(&list->page);
    verb_finish(&list->verb, NULL, st);
}

static void next_run(struct list *list)
{
    list->run = topology_run_at(list->verb.placement->topology, (uint16_t)(list->run.last + 1));
    list->after_id[0] = '\0';
    list->run_done = false;
}

static void go_on(struct list *list)
{
    struct status ok = { 0 };

    if (list->run_done && list->run.last + 1 < SLOT_COUNT && list->left > 0) {
        next_run(list);
        ask_for_page(list);
    } else if (list->run_done || list->left == 0) {
        end_list(list, &ok);
    } else {
        ask_for_page(list);
    }
}

static void page_accepted(struct rpc_call *call, bool ok, void *ctx)
{
    struct list *list = ctx;
    struct status broken = { 0 };

    (void)call;
    arena_reset(&list->page);
    if (ok) {
        go_on(list);
        return;
    }
    status_set(&broken, STATUS_CANCELLED, "the stream broke");
    end_list(list, &broken);
}

/* Moves behind the last concept of a page. */
static void move_behind(struct list *list, const Sutra__V1__Concept *last)
{
    struct concept_id id = concept_id_trusted(last->id, strlen(last->id));

    list->run.first = id.slot;
    memcpy(list->after_id, id.data, id.length);
    list->after_id[id.length] = '\0';
}

static void send_page(struct list *list, Sutra__V1__Concept **concepts, size_t n)
{
    Sutra__V1__ListResponse response = SUTRA__V1__LIST_RESPONSE__INIT;
    uint8_t cursor[CURSOR_SLOT_BYTES + CONCEPT_ID_MAX_BYTES];
    size_t id_length;

    move_behind(list, concepts[n - 1]);
    list->left -= n;
    id_length = strlen(list->after_id);
    cursor[0] = (uint8_t)(list->run.first >> 8);
    cursor[1] = (uint8_t)list->run.first;
    memcpy(cursor + CURSOR_SLOT_BYTES, list->after_id, id_length);
    response.n_concepts = n;
    response.concepts = concepts;
    response.cursor = (ProtobufCBinaryData){ .data = cursor, .len = CURSOR_SLOT_BYTES + id_length };
    rpc_stream_send(list->verb.call, &response.base, page_accepted, list);
}

static void page_is_in(void *ctx, struct rpc_result *result)
{
    struct list *list = ctx;
    const Sutra__Internal__V1__ListPageResponse *reply;
    ProtobufCMessage *message;
    struct status st = { 0 };

    if (rpc_result_unpack(result, &sutra__internal__v1__list_page_response__descriptor, &list->page,
                          &message, &st) != STATUS_OK) {
        end_list(list, &st);
        return;
    }
    reply = (const Sutra__Internal__V1__ListPageResponse *)message;
    list->run_done = reply->done;
    if (reply->n_concepts > 0)
        send_page(list, reply->concepts, reply->n_concepts);
    else
        go_on(list);
}

static void ask_for_page(struct list *list)
{
    sutra__internal__v1__list_page_request__init(&list->request);
    list->request.first_slot = list->run.first;
    list->request.last_slot = list->run.last;
    list->request.after_id = list->after_id;
    list->request.limit = list->left < list->page_size ? (uint32_t)list->left : list->page_size;
    list->request.include_embedding = list->include_embedding;
    placement_call(list->verb.placement, list->run.shard,
                   &(struct shard_request){ .method = "ListPage",
                                            .message = &list->request.base,
                                            .parent = list->verb.call },
                   page_is_in, list);
}

static enum status_code start_at(struct list *list, const ProtobufCBinaryData *cursor,
                                 struct status *st)
{
    uint16_t slot = 0;

    if (cursor->len > 0) {
        struct concept_id id;
        const char *after = (const char *)cursor->data + CURSOR_SLOT_BYTES;
        if (cursor->len <= CURSOR_SLOT_BYTES ||
            concept_id_parse(after, cursor->len - CURSOR_SLOT_BYTES, &id, st) != STATUS_OK ||
            (cursor->data[0] << 8 | cursor->data[1]) != id.slot) {
            status_clear(st);
            return status_set_field(st, "cursor", "cursor is not one that List gave");
        }
        slot = id.slot;
        memcpy(list->after_id, id.data, id.length);
    }
    list->run = topology_run_at(list->verb.placement->topology, slot);
    return STATUS_OK;
}

void serve_list(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__ListRequest *request = (const Sutra__V1__ListRequest *)message;
    struct list *list = verb_new(cluster, call, sizeof *list);
    struct status st = { 0 };

    if (list == NULL)
        return;
    arena_init(&list->page, LIMIT_CALL_ARENA_BYTES);
    list->page_size = request->page_size == 0 ? DEFAULT_PAGE_ITEMS : request->page_size;
    list->left = request->limit == 0 ? UINT64_MAX : request->limit;
    list->include_embedding = request->include_embedding;
    if (list->page_size > LIMIT_PAGE_ITEMS)
        status_set_field(&st, "page_size", "page_size is %u, the limit is %d", list->page_size,
                         LIMIT_PAGE_ITEMS);
    else
        start_at(list, &request->cursor, &st);
    if (st.code != STATUS_OK)
        end_list(list, &st);
    else
        ask_for_page(list);
}
