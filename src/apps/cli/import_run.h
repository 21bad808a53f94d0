#ifndef SUTRA_APPS_CLI_IMPORT_RUN_H
#define SUTRA_APPS_CLI_IMPORT_RUN_H

/**
 * Sends a feed over an Import stream.
 *
 * Up to `window` requests are under way; they stay in memory until they are acknowledged, so that
 * after a broken connection they are sent again, from the first that is not settled. A request that
 * was written but whose answer was lost is thereby written twice, which changes nothing but
 * versions.
 *
 * The caller's thread reads the feed, sends, and runs every callback; a second thread, which lives
 * as long as a stream, only receives.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/apps/cli/import_feed.h"
#include "src/base/status.h"
#include "src/client/client.h"

struct import_settings {
    uint64_t batch;        /* items per request, at least 1 */
    uint64_t window;       /* requests under way, 1–IMPORT_MAX_WINDOW */
    size_t request_bytes;  /* a request is closed when it is this big */
    size_t max_item_bytes; /* what fits a message beside such a request */
    bool skip_embedding;
    Sutra__V1__Durability durability;
    double retry_seconds; /* how long to go on without an answer from the server */
};

enum { IMPORT_MAX_WINDOW = 64 };

struct import_report {
    uint64_t settled; /* items of the source from its first on, those of an earlier run included */
    uint64_t created;
    uint64_t updated;
    uint64_t refused;
    uint64_t associations; /* of the items written */
    uint64_t reconnects;
    bool source_failed; /* the error is the feed's, not the server's */
};

struct import_events {
    void *context;
    /* One item was refused; @number counts the source's items from 1. */
    void (*refused)(void *context, uint64_t number, const Sutra__V1__WriteResult *result);
    /* More is settled. */
    void (*settled)(void *context, const struct import_report *report);
    /* Several times a second, whatever happens. */
    void (*tick)(void *context, const struct import_report *report);
    /* Whether to send nothing more and end when what is under way is settled. */
    bool (*stop)(void *context);
};

/**
 * Returns when the feed is at its end or was stopped and everything sent is settled, or with the
 * error that made it impossible: of the feed, of the server, or UNAVAILABLE for retry_seconds.
 * *report (the caller sets `settled` to the feed's position) is kept up to date also then.
 */
enum status_code import_run(struct client *client, struct import_feed *feed,
                            const struct import_settings *settings,
                            const struct import_events *events, struct import_report *report,
                            struct status *st);

#endif
