#include "src/apps/cli/import_feed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

void import_feed_init(struct import_feed *feed, const struct import_file *files, size_t count,
                      uint64_t limit)
{
    *feed = (struct import_feed){ .files = files, .file_count = count, .limit = limit };
}

static void close_file(struct import_feed *feed)
{
    if (feed->source == NULL)
        return;
    feed->bytes_before += source_bytes_read(feed->source);
    source_close(feed->source);
    feed->source = NULL;
}

void import_feed_deinit(struct import_feed *feed)
{
    close_file(feed);
}

static enum status_code open_file(struct import_feed *feed, struct status *st)
{
    const struct import_file *file = &feed->files[feed->next_file++];

    return source_open(file->format, file->path, &feed->source, st);
}

/* An item of the open file, or with @arena NULL only whether there is one, which is passed over. */
static enum status_code take(struct source *source, struct arena *arena,
                             Sutra__V1__ConceptInput **ret_item, bool *ret_there, struct status *st)
{
    if (arena == NULL)
        return source_skip(source, ret_there, st);
    if (source_next(source, arena, ret_item, st) == STATUS_OK)
        *ret_there = *ret_item != NULL;
    return st->code;
}

/* The same from whichever file has one. */
static enum status_code take_from_any(struct import_feed *feed, struct arena *arena,
                                      Sutra__V1__ConceptInput **ret_item, bool *ret_there,
                                      struct status *st)
{
    for (;;) {
        if (feed->source != NULL) {
            if (take(feed->source, arena, ret_item, ret_there, st) != STATUS_OK || *ret_there)
                return st->code;
            close_file(feed);
        }
        if (feed->next_file == feed->file_count || open_file(feed, st) != STATUS_OK)
            return st->code;
    }
}

static enum status_code advance(struct import_feed *feed, struct arena *arena,
                                Sutra__V1__ConceptInput **ret_item, bool *ret_there,
                                struct status *st)
{
    *ret_there = false;
    if (feed->limit == 0 || feed->position < feed->limit)
        take_from_any(feed, arena, ret_item, ret_there, st);
    if (st->code == STATUS_OK)
        feed->position += *ret_there;
    return st->code;
}

enum status_code import_feed_next(struct import_feed *feed, struct arena *arena,
                                  Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    Sutra__V1__ConceptInput *item = NULL;
    bool there;

    if (advance(feed, arena, &item, &there, st) == STATUS_OK)
        *ret_item = item;
    return st->code;
}

enum status_code import_feed_skip(struct import_feed *feed, uint64_t count, struct status *st)
{
    uint64_t skipped = 0;
    bool there;

    while (skipped < count && advance(feed, NULL, NULL, &there, st) == STATUS_OK && there)
        skipped++;
    if (st->code == STATUS_OK && skipped < count)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "%" PRIu64 " items are settled, but there are only %" PRIu64, count,
                          skipped);
    return st->code;
}

uint64_t import_feed_bytes(const struct import_feed *feed)
{
    return feed->bytes_before + (feed->source != NULL ? source_bytes_read(feed->source) : 0);
}

enum status_code import_feed_measure(const struct import_feed *feed, struct source_size *ret,
                                     struct status *st)
{
    struct source_size total = { 0 };
    bool items_known = true;
    bool bytes_known = true;

    for (size_t i = 0; i < feed->file_count; i++) {
        struct source_size size = { 0 };
        if (source_measure(feed->files[i].format, feed->files[i].path, &size, st) != STATUS_OK)
            return st->code;
        items_known = items_known && size.items != 0;
        bytes_known = bytes_known && size.bytes != 0;
        total.items += size.items;
        total.bytes += size.bytes;
    }
    total.items = items_known ? total.items : 0;
    if (feed->limit != 0 && (total.items == 0 || total.items > feed->limit))
        total.items = feed->limit;
    total.bytes = bytes_known ? total.bytes : 0;
    *ret = total;
    return STATUS_OK;
}

static enum status_code out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

enum status_code import_feed_fingerprint(const struct import_feed *feed, struct arena *arena,
                                         const char **ret, struct status *st)
{
    const char *all = "";

    for (size_t i = 0; i < feed->file_count; i++) {
        const char *one = NULL;
        if (source_fingerprint(feed->files[i].format, feed->files[i].path, arena, &one, st) !=
            STATUS_OK)
            return st->code;
        all = arena_printf(arena, "%s%s", all, one);
        if (all == NULL)
            return out_of_memory(st);
    }
    *ret = all;
    return STATUS_OK;
}

enum status_code import_feed_key(const struct import_feed *feed, struct arena *arena,
                                 const char **ret, struct status *st)
{
    const char *key = "";

    for (size_t i = 0; i < feed->file_count; i++) {
        char *absolute = realpath(feed->files[i].path, NULL);
        if (absolute == NULL)
            return status_set_errno(st, errno, "open '%s'", feed->files[i].path);
        key = arena_printf(arena, "%s%s %s\n", key, source_format_name(feed->files[i].format),
                           absolute);
        free(absolute);
        if (key == NULL)
            return out_of_memory(st);
    }
    *ret = key;
    return STATUS_OK;
}
