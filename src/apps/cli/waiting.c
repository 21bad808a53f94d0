#include "src/apps/cli/waiting.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/apps/cli/text.h"
#include "src/base/clock.h"

struct waiting {
    char what[WAITING_TEXT_SIZE];
    waiting_describe_fn *describe;
    void *context;
    int64_t start_us;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stop;
};

static void draw_line(struct waiting *w)
{
    char time[TEXT_NUMBER_SIZE];
    double seconds = (double)(clock_monotonic_us() - w->start_us) / 1e6;

    if (w->describe != NULL)
        w->describe(w->context, w->what);
    fprintf(stderr, "\r\x1b[K%s … %s", w->what, text_duration(seconds, time));
    fflush(stderr);
}

static void wait_a_second(struct waiting *w)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    while (!w->stop && pthread_cond_timedwait(&w->stopped, &w->lock, &until) != ETIMEDOUT)
        continue;
}

static void *draw(void *context)
{
    struct waiting *w = context;

    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        draw_line(w);
        wait_a_second(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct waiting *waiting_start(const char *what, waiting_describe_fn *describe, void *context)
{
    struct waiting *w = isatty(STDERR_FILENO) == 1 ? calloc(1, sizeof *w) : NULL;

    if (w == NULL)
        return NULL;
    snprintf(w->what, sizeof w->what, "%s", what);
    w->describe = describe;
    w->context = context;
    w->start_us = clock_monotonic_us();
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->stopped, NULL);
    if (pthread_create(&w->thread, NULL, draw, w) != 0) {
        free(w);
        return NULL;
    }
    return w;
}

void waiting_stop(struct waiting *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->stopped);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->stopped);
    pthread_mutex_destroy(&w->lock);
    fputs("\r\x1b[K", stderr);
    free(w);
}
