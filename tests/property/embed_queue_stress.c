/*
 * A plain program for the thread sanitizer: threads submit jobs, ask for the model's hash and the
 * queue's length, and leave before their jobs end; the queue is stopped in the middle. Every
 * accepted job must come back exactly once.
 */

#include "src/embed/embed_queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBMITTERS = 3, JOBS = 12, TEXTS = 3, WAIT_FOR = SUBMITTERS * JOBS / 2 };

static atomic_int accepted, ended;
static struct embed_model *model;
static struct embed_queue *queue;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;

static const struct embed_text texts[TEXTS] = { { "tide", 4 }, { "the moon", 8 }, { "", 0 } };

static void check(const struct status *st)
{
    if (st->code == STATUS_OK)
        return;
    fprintf(stderr, "embed_queue_stress: %s\n", st->message);
    exit(1);
}

/* The callback owns the job and frees it. */
static void job_done(struct embed_job *job, const struct status *st)
{
    if (st->code != STATUS_CANCELLED)
        check(st);
    free(job->ret_rows);
    free(job);
    pthread_mutex_lock(&lock);
    ended++;
    pthread_cond_signal(&progress);
    pthread_mutex_unlock(&lock);
}

static void submit(size_t n)
{
    struct embed_job *job = calloc(1, sizeof *job);
    struct status st = { 0 };

    if (job == NULL)
        abort();
    job->texts = texts;
    job->n = n;
    job->ret_rows = calloc(TEXTS * EMBED_DIMENSION, sizeof(float));
    job->done = job_done;
    embed_queue_submit(queue, job, &st);
    check(&st);
    accepted++;
}

static void *run_submitter(void *unused)
{
    struct embed_info info;
    struct status st = { 0 };

    (void)unused;
    for (size_t i = 0; i < JOBS; i++) {
        submit(i % (TEXTS + 1));
        if (embed_queue_pending(queue) > SUBMITTERS * JOBS * TEXTS)
            abort();
    }
    embed_model_info(model, &info, &st);
    check(&st);
    return NULL;
}

static void wait_for_half(void)
{
    pthread_mutex_lock(&lock);
    while (ended < WAIT_FOR)
        pthread_cond_wait(&progress, &lock);
    pthread_mutex_unlock(&lock);
}

static void run_round(void)
{
    const struct embed_queue_options options = { .threads = 2, .max_pending_texts = 10000 };
    pthread_t threads[SUBMITTERS];
    struct status st = { 0 };

    accepted = ended = 0;
    embed_queue_start(model, &options, &queue, &st);
    check(&st);
    for (size_t i = 0; i < SUBMITTERS; i++)
        pthread_create(&threads[i], NULL, run_submitter, NULL);
    for (size_t i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    wait_for_half();
    embed_queue_stop(queue);
    if (ended != accepted) {
        fprintf(stderr, "embed_queue_stress: %d of %d jobs ended\n", ended, accepted);
        exit(1);
    }
}

int main(void)
{
    char dir[EMBED_PATH_SIZE];
    struct status st = { 0 };

    if (embed_model_default_dir(dir, &st) == STATUS_OK)
        embed_model_open(dir, &model, &st);
    check(&st);
    for (int round = 0; round < 3; round++)
        run_round();
    embed_model_close(model);
    return 0;
}
