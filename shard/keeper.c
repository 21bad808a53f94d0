#include "shard/keeper.h"

#include <malloc.h>
#include <stdlib.h>

#include "src/base/ticker.h"
#include "src/log/log.h"

enum { LOOK_EVERY_MS = 1000, TRIM_EVERY = 10 };

struct keeper {
    struct store *store;
    struct index *index;
    struct ticker *ticker;
    uint64_t looks;
    uint64_t seen;    /* sequence of the store at the last look */
    uint64_t flushed; /* … at the last flush */
};

static void look(void *ctx)
{
    struct keeper *keeper = ctx;
    uint64_t now = store_sequence(keeper->store);
    bool at_rest = now == keeper->seen;
    struct status st = { 0 };

    if (at_rest && now != keeper->flushed) {
        keeper->flushed = now;
        if (store_flush(keeper->store, &st) != STATUS_OK)
            log_line(LOG_WARN, "flush_failed", LOG_TEXT("message", st.message));
    }
    keeper->seen = now;
    if (++keeper->looks % TRIM_EVERY == 0)
        malloc_trim(0); /* what a big import, a training or a calibration has left behind */
    index_maintain(keeper->index, at_rest);
}

enum status_code keeper_start(struct store *store, struct index *index, struct keeper **ret,
                              struct status *st)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);

    if (keeper == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    keeper->store = store;
    keeper->index = index;
    if (ticker_start(LOOK_EVERY_MS, look, keeper, &keeper->ticker, st) != STATUS_OK) {
        free(keeper);
        return st->code;
    }
    *ret = keeper;
    return STATUS_OK;
}

void keeper_stop(struct keeper *keeper)
{
    if (keeper == NULL)
        return;
    ticker_stop(keeper->ticker);
    free(keeper);
}
