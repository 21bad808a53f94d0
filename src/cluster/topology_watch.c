#include "src/cluster/topology_watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/ticker.h"
#include "src/log/log.h"

struct topology_watch {
    char *path;
    struct cluster *cluster;
    struct stat seen; /* zero before the first look */
    bool looked;
    struct ticker *ticker;
};

enum { LOOK_EVERY_MS = 1000 };

static bool has_changed(struct topology_watch *watch)
{
    struct stat now;

    if (stat(watch->path, &now) != 0)
        return false;
    if (now.st_ino == watch->seen.st_ino && now.st_size == watch->seen.st_size &&
        now.st_mtim.tv_sec == watch->seen.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == watch->seen.st_mtim.tv_nsec)
        return false;
    watch->seen = now;
    return true;
}

/* The file that the process began with, which is what the first look finds as a rule. Opening the
 * data takes time, in which the file may have changed: so that look cannot be left out. */
static bool is_old_news(const struct topology_watch *watch, const struct topology *topology)
{
    struct placement *placement = cluster_placement(watch->cluster);
    bool known = topology->epoch == placement->topology->epoch;

    placement_unref(placement);
    return !watch->looked && known;
}

static void put_in_force(struct topology_watch *watch, struct topology *topology, struct status *st)
{
    if (cluster_set_topology(watch->cluster, topology, st) == STATUS_OK)
        log_line(LOG_INFO, "topology_loaded", LOG_TEXT("path", watch->path),
                 LOG_NUMBER("epoch", topology->epoch));
}

static void reload(struct topology_watch *watch)
{
    struct topology *topology = NULL;
    struct status st = { 0 };

    if (topology_load(watch->path, &topology, &st) == STATUS_OK && !is_old_news(watch, topology))
        put_in_force(watch, topology, &st);
    if (st.code != STATUS_OK)
        log_line(LOG_WARN, "topology_not_loaded", LOG_TEXT("path", watch->path),
                 LOG_TEXT("message", st.message));
    topology_unref(topology);
}

static void look(void *ctx)
{
    struct topology_watch *watch = ctx;

    if (has_changed(watch))
        reload(watch);
    watch->looked = true;
}

enum status_code topology_watch_start(const char *path, struct cluster *cluster,
                                      struct topology_watch **ret, struct status *st)
{
    struct topology_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    watch->cluster = cluster;
    watch->path = strdup(path);
    if (watch->path == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        ticker_start(LOOK_EVERY_MS, look, watch, &watch->ticker, st);
    if (st->code != STATUS_OK) {
        topology_watch_stop(watch);
        return st->code;
    }
    *ret = watch;
    return STATUS_OK;
}

void topology_watch_stop(struct topology_watch *watch)
{
    if (watch == NULL)
        return;
    ticker_stop(watch->ticker);
    free(watch->path);
    free(watch);
}

enum status_code topology_from_options(const char *file, const char *shards, const char *address,
                                       struct topology **ret, struct status *st)
{
    if (file[0] != '\0' && shards[0] != '\0')
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--topology and --shards exclude each other");
    if (file[0] != '\0')
        return topology_load(file, ret, st);
    return topology_even(shards[0] != '\0' ? shards : address, 1, ret, st);
}
