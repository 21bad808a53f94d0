#include "src/cluster/topology_watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "src/log/log.h"

struct topology_watch {
    char *path;
    struct cluster *cluster;
    struct stat seen;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
};

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

static void reload(struct topology_watch *watch)
{
    struct topology *topology = NULL;
    struct status st = { 0 };

    if (topology_load(watch->path, &topology, &st) == STATUS_OK &&
        cluster_set_topology(watch->cluster, topology, &st) == STATUS_OK)
        log_line(LOG_INFO, "topology_loaded", LOG_TEXT("path", watch->path),
                 LOG_NUMBER("epoch", topology->epoch));
    else
        log_line(LOG_WARN, "topology_not_loaded", LOG_TEXT("path", watch->path),
                 LOG_TEXT("message", st.message));
    topology_unref(topology);
}

static bool wait_a_second(struct topology_watch *watch)
{
    struct timespec until;
    bool go_on;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping &&
           pthread_cond_timedwait(&watch->stop, &watch->lock, &until) != ETIMEDOUT)
        continue;
    go_on = !watch->stopping;
    pthread_mutex_unlock(&watch->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct topology_watch *watch = arg;

    while (wait_a_second(watch))
        if (has_changed(watch))
            reload(watch);
    return NULL;
}

static void watch_free(struct topology_watch *watch)
{
    pthread_cond_destroy(&watch->stop);
    pthread_mutex_destroy(&watch->lock);
    free(watch->path);
    free(watch);
}

enum status_code topology_watch_start(const char *path, struct cluster *cluster,
                                      struct topology_watch **ret, struct status *st)
{
    struct topology_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    watch->cluster = cluster;
    watch->path = strdup(path);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->stop, NULL);
    if (watch->path == NULL || pthread_create(&watch->thread, NULL, run, watch) != 0) {
        watch_free(watch);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "cannot start a thread");
    }
    *ret = watch;
    return STATUS_OK;
}

void topology_watch_stop(struct topology_watch *watch)
{
    if (watch == NULL)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_signal(&watch->stop);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    watch_free(watch);
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
