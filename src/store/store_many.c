/*
 * Many concepts at once: from the record cache as they lie there, the others in one look-up.
 */

#include <string.h>

#include "src/base/size.h"
#include "src/store/store_internal.h"

enum { WINDOW = 128, NOT_MISSED = WINDOW };

/* Some concepts of a call. Once one of them is missed, those behind it that are cached are held
 * back, since the caller gets all in order. */
struct window {
    struct store *store;
    const struct concept_id *ids;
    size_t n;
    store_visitor *visit;
    void *context;
    size_t first;                     /* index of ids[0] in the call */
    struct buf held;                  /* records */
    size_t ends[WINDOW];              /* of records in `held`, by id */
    uint8_t miss_of[WINDOW];          /* by id: index below, or NOT_MISSED */
    struct concept_id misses[WINDOW]; /* each id once */
    record_cache_ticket tickets[WINDOW];
    struct store_value values[WINDOW];
    size_t miss_count;
};

struct at {
    struct window *window;
    size_t i;
};

static void visit_at(void *context, const void *data, size_t size)
{
    const struct at *at = context;

    at->window->visit(at->window->context, at->window->first + at->i, data, size);
}

static void hold(void *context, const void *data, size_t size)
{
    const struct at *at = context;

    buf_append(&at->window->held, data, size);
}

/* Hands over what is cached up to the first miss; how many those are. */
static size_t visit_cached(struct window *window)
{
    record_cache_ticket ticket;
    struct at at = { window, 0 };

    while (at.i < window->n &&
           record_cache_visit(window->store->cache, &window->ids[at.i], visit_at, &at, &ticket))
        at.i++;
    return at.i;
}

/* An id that is asked for twice is read once. */
static uint8_t add_miss(struct window *window, const struct concept_id *id,
                        record_cache_ticket ticket)
{
    size_t miss = 0;

    while (miss < window->miss_count &&
           (window->misses[miss].hash != id->hash ||
            concept_id_compare(window->misses[miss].data, window->misses[miss].length, id->data,
                               id->length) != 0))
        miss++;
    if (miss == window->miss_count) {
        window->misses[miss] = *id;
        window->tickets[miss] = ticket;
        window->miss_count++;
    }
    return (uint8_t)miss;
}

static void hold_cached(struct window *window, size_t from)
{
    record_cache_ticket ticket;
    struct at at = { window, from };

    for (; at.i < window->n; at.i++) {
        const struct concept_id *id = &window->ids[at.i];
        window->miss_of[at.i] = NOT_MISSED;
        if (!record_cache_visit(window->store->cache, id, hold, &at, &ticket))
            window->miss_of[at.i] = add_miss(window, id, ticket);
        window->ends[at.i] = window->held.size;
    }
}

static void cache_values(const struct window *window)
{
    for (size_t i = 0; i < window->miss_count; i++)
        if (window->values[i].data != NULL)
            record_cache_put(window->store->cache, &window->misses[i], window->values[i].data,
                             window->values[i].size, window->tickets[i]);
}

static void visit_held(const struct window *window, size_t from)
{
    size_t begin = 0;

    for (size_t i = from; i < window->n; i++) {
        uint8_t miss = window->miss_of[i];
        if (miss == NOT_MISSED)
            window->visit(window->context, window->first + i, window->held.data + begin,
                          window->ends[i] - begin);
        else
            window->visit(window->context, window->first + i, window->values[miss].data,
                          window->values[miss].size);
        begin = window->ends[i];
    }
}

static enum status_code read_window(struct window *window, struct status *st)
{
    size_t from;

    record_cache_prefetch(window->store->cache, window->ids, window->n);
    window->miss_count = 0;
    from = visit_cached(window);
    if (from < window->n) {
        buf_reset(&window->held);
        hold_cached(window, from);
    }
    metrics_count(&window->store->cache_hits, window->n - window->miss_count);
    metrics_count(&window->store->cache_misses, window->miss_count);
    if (from == window->n)
        return STATUS_OK;
    if (window->held.failed)
        return store_no_memory(st);
    if (store_pin_many(window->store, FAMILY_CONCEPTS, window->misses, window->miss_count,
                       window->values, st) != STATUS_OK)
        return st->code;
    cache_values(window);
    visit_held(window, from);
    for (size_t i = 0; i < window->miss_count; i++)
        store_value_release(&window->values[i]);
    return STATUS_OK;
}

enum status_code store_get_many(struct store *store, const struct concept_id *ids, size_t n,
                                store_visitor *visit, void *context, struct status *st)
{
    struct window window = { .store = store, .visit = visit, .context = context };

    for (size_t i = 0; i < n && st->code == STATUS_OK; i += WINDOW) {
        window.ids = ids + i;
        window.n = size_min(n - i, WINDOW);
        window.first = i;
        read_window(&window, st);
    }
    buf_deinit(&window.held);
    return st->code == STATUS_OK ? STATUS_OK : status_wrap(st, "get %zu concepts", n);
}
