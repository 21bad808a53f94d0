#include "src/embed/embed_queue.h"

#include "src/base/size.h"
#include "src/embed/encoder.h"
#include "src/embed/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    BATCH_TOKENS = ENCODER_BATCH_TOKENS, /* what a thread takes at a time, by estimate */
    SLICE_TOKENS = 256,                  /* of these, from one job before the next has its turn */
    MAX_CLAIMS = BATCH_TOKENS / 2,
    BYTES_PER_TOKEN = 4, /* of English; a wrong guess only costs an odd-sized batch */
};

/* Texts [first, first + n) of a job, in the hands of one thread. */
struct claim {
    struct embed_job *job;
    size_t first;
    size_t n;
};

struct job_list {
    struct embed_job *head;
    struct embed_job *tail;
};

struct embed_queue;

struct queue_thread {
    struct embed_queue *queue;
    struct embed_worker *worker;
    pthread_t id;
    struct claim claims[MAX_CLAIMS];
    size_t n_claims;
    struct job_list ended; /* whose callbacks this thread has to run */
};

struct embed_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a job came, or stopping began */
    bool stopping;
    size_t max_pending_texts;
    size_t pending_texts;
    size_t waiting_tokens; /* estimate for the texts that no thread has claimed */
    struct metrics_counter refused;
    struct embed_meter meter;
    struct job_list waiting; /* jobs with unclaimed texts, and empty ones */
    size_t n_threads;        /* started */
    struct queue_thread threads[];
};

static void list_append(struct job_list *list, struct embed_job *job)
{
    job->next = NULL;
    if (list->tail != NULL)
        list->tail->next = job;
    else
        list->head = job;
    list->tail = job;
}

/* NULL from an empty list. */
static struct embed_job *list_take(struct job_list *list)
{
    struct embed_job *job = list->head;

    if (job == NULL)
        return NULL;
    list->head = job->next;
    if (list->head == NULL)
        list->tail = NULL;
    return job;
}

static size_t estimate_tokens(const struct embed_text *text)
{
    return size_min(text->length / BYTES_PER_TOKEN + 2, EMBED_MAX_TOKENS);
}

static size_t estimate_rest(const struct embed_job *job)
{
    size_t tokens = 0;

    for (size_t i = job->claimed; i < job->n; i++)
        tokens += estimate_tokens(&job->texts[i]);
    return tokens;
}

/* Claims texts of one job until @tokens are used up, at least one; returns what they took. */
static size_t claim_slice(struct embed_queue *queue, struct embed_job *job, size_t tokens,
                          struct claim *ret_claim)
{
    size_t first = job->claimed, used = 0;

    while (job->claimed < job->n && used < tokens)
        used += estimate_tokens(&job->texts[job->claimed++]);
    *ret_claim = (struct claim){ .job = job, .first = first, .n = job->claimed - first };
    job->running += ret_claim->n;
    queue->waiting_tokens -= used;
    return used;
}

/* A job that nobody works on any more, for its last thread to call back. */
static void job_end(struct queue_thread *thread, struct embed_job *job)
{
    thread->queue->pending_texts -= job->n;
    list_append(&thread->ended, job);
}

/* Gives up the rest of a job that was just taken off the list. */
static void job_abandon(struct queue_thread *thread, struct embed_job *job, const char *why)
{
    thread->queue->waiting_tokens -= estimate_rest(job);
    if (job->st.code == STATUS_OK)
        status_set(&job->st, STATUS_CANCELLED, "%s", why);
    job->claimed = job->n;
    if (job->running == 0)
        job_end(thread, job);
}

/* Why the rest of a job needs no work, or NULL. */
static const char *reason_to_abandon(const struct embed_job *job)
{
    if (job->st.code != STATUS_OK)
        return job->st.message;
    if (job->cancelled != NULL && job->cancelled(job->context))
        return "embedding was cancelled";
    return NULL;
}

/* With few texts waiting every thread takes its share; with many, a full batch. */
static size_t fair_share(const struct embed_queue *queue)
{
    size_t share = queue->waiting_tokens / queue->n_threads + 1;

    return size_min(size_max(share, SLICE_TOKENS), BATCH_TOKENS);
}

/* Takes from the waiting jobs in turn until the thread has a batch. */
static void claim_batch(struct queue_thread *thread)
{
    struct embed_queue *queue = thread->queue;
    size_t budget = fair_share(queue), used = 0;
    struct embed_job *job;

    thread->n_claims = 0;
    while (used < budget && (job = list_take(&queue->waiting)) != NULL) {
        const char *why = reason_to_abandon(job);
        if (why != NULL) {
            job_abandon(thread, job, why);
        } else if (job->n == 0) {
            job_end(thread, job);
        } else {
            size_t slice = size_min(SLICE_TOKENS, budget - used);
            used += claim_slice(queue, job, slice, &thread->claims[thread->n_claims++]);
            if (job->claimed < job->n)
                list_append(&queue->waiting, job);
        }
    }
}

static enum status_code embed_claims(struct queue_thread *thread, struct status *st)
{
    for (size_t c = 0; c < thread->n_claims; c++) {
        const struct claim *claim = &thread->claims[c];
        for (size_t i = claim->first; i < claim->first + claim->n; i++) {
            float *row = claim->job->ret_rows + i * EMBED_DIMENSION;
            if (embed_worker_add(thread->worker, claim->job->texts[i], row))
                continue;
            if (embed_worker_run(thread->worker, st) != STATUS_OK)
                return st->code;
            embed_worker_add(thread->worker, claim->job->texts[i], row);
        }
    }
    return embed_worker_run(thread->worker, st);
}

static void settle_claims(struct queue_thread *thread, const struct status *st)
{
    for (size_t c = 0; c < thread->n_claims; c++) {
        struct embed_job *job = thread->claims[c].job;
        job->running -= thread->claims[c].n;
        if (job->st.code == STATUS_OK)
            job->st = *st;
        if (job->running == 0 && job->claimed == job->n)
            job_end(thread, job);
    }
}

/* The status is copied first: the callback may free the job. */
static void call_back(struct queue_thread *thread)
{
    struct embed_job *job;

    while ((job = list_take(&thread->ended)) != NULL) {
        struct status st = job->st;
        job->done(job, &st);
    }
}

static void abandon_waiting(struct queue_thread *thread)
{
    struct embed_job *job;

    while ((job = list_take(&thread->queue->waiting)) != NULL)
        job_abandon(thread, job, "the embedder is shutting down");
}

/* One turn, entered and left with the lock held. */
static void work(struct queue_thread *thread)
{
    struct embed_queue *queue = thread->queue;
    struct status st = { 0 };

    claim_batch(thread);
    pthread_mutex_unlock(&queue->lock);
    if (thread->n_claims > 0)
        embed_claims(thread, &st);
    pthread_mutex_lock(&queue->lock);
    settle_claims(thread, &st);
}

static void run_callbacks(struct queue_thread *thread)
{
    pthread_mutex_unlock(&thread->queue->lock);
    call_back(thread);
    pthread_mutex_lock(&thread->queue->lock);
}

static void *run_thread(void *argument)
{
    struct queue_thread *thread = argument;
    struct embed_queue *queue = thread->queue;

    pthread_mutex_lock(&queue->lock);
    while (!queue->stopping) {
        if (queue->waiting.head == NULL) {
            pthread_cond_wait(&queue->wake, &queue->lock);
            continue;
        }
        work(thread);
        run_callbacks(thread);
    }
    abandon_waiting(thread);
    run_callbacks(thread);
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

static enum status_code start_thread(struct embed_queue *queue, const struct embed_model *model,
                                     struct status *st)
{
    struct queue_thread *thread = &queue->threads[queue->n_threads];

    thread->queue = queue;
    if (embed_worker_new(model, &thread->worker, st) != STATUS_OK)
        return st->code;
    embed_worker_set_meter(thread->worker, &queue->meter);
    int err = pthread_create(&thread->id, NULL, run_thread, thread);
    if (err != 0) {
        embed_worker_free(thread->worker);
        return status_set_errno(st, err, "start embedding thread");
    }
    queue->n_threads++;
    return STATUS_OK;
}

enum status_code embed_queue_start(const struct embed_model *model,
                                   const struct embed_queue_options *options,
                                   struct embed_queue **ret_queue, struct status *st)
{
    struct embed_queue *queue;
    size_t size;

    if (options->threads == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "an embedding queue needs a thread");
    if (!size_mul(options->threads, sizeof *queue->threads, &size) ||
        !size_add(size, sizeof *queue, &size) || (queue = calloc(1, size)) == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    queue->max_pending_texts = options->max_pending_texts;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->wake, NULL);

    while (queue->n_threads < options->threads && start_thread(queue, model, st) == STATUS_OK)
        continue;
    if (st->code != STATUS_OK) {
        embed_queue_stop(queue);
        return st->code;
    }
    *ret_queue = queue;
    return STATUS_OK;
}

static enum status_code admit(const struct embed_queue *queue, const struct embed_job *job,
                              struct status *st)
{
    if (queue->stopping)
        return status_set(st, STATUS_CANCELLED, "the embedder is shutting down");
    if (job->n > queue->max_pending_texts - queue->pending_texts)
        return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                                 "%zu texts to embed beside %zu that wait: at most %zu", job->n,
                                 queue->pending_texts, queue->max_pending_texts);
    return STATUS_OK;
}

enum status_code embed_queue_submit(struct embed_queue *queue, struct embed_job *job,
                                    struct status *st)
{
    job->claimed = job->running = 0;
    job->st = (struct status){ 0 };
    size_t tokens = estimate_rest(job);

    pthread_mutex_lock(&queue->lock);
    if (admit(queue, job, st) == STATUS_OK) {
        queue->pending_texts += job->n;
        queue->waiting_tokens += tokens;
        list_append(&queue->waiting, job);
        pthread_cond_broadcast(&queue->wake);
    } else {
        metrics_count(&queue->refused, 1);
    }
    pthread_mutex_unlock(&queue->lock);
    return st->code;
}

size_t embed_queue_pending(struct embed_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t pending = queue->pending_texts;
    pthread_mutex_unlock(&queue->lock);
    return pending;
}

void embed_queue_collect(void *ctx, struct metrics_page *page)
{
    struct embed_queue *queue = ctx;

    metrics_counter_value(page, "sutra_embed_texts", "Texts that were embedded.",
                          (double)metrics_counted(&queue->meter.texts));
    metrics_counter_value(page, "sutra_embed_tokens", "Tokens that these had.",
                          (double)metrics_counted(&queue->meter.tokens));
    metrics_histogram_family(page, "sutra_embed_batch_texts",
                             "Texts that one thread embedded at once.");
    metrics_histogram_sample(page, &queue->meter.batch_texts, METRICS_SIZES, NULL);
    metrics_histogram_family(page, "sutra_embed_batch_duration_seconds",
                             "What one such batch took.");
    metrics_histogram_sample(page, &queue->meter.batch_us, METRICS_LATENCY, NULL);
    metrics_gauge_value(page, "sutra_embed_pending_texts",
                        "Texts that were taken in and are not embedded yet.",
                        (double)embed_queue_pending(queue));
    metrics_gauge_value(page, "sutra_embed_pending_texts_limit",
                        "How many may be; requests for more are refused.",
                        (double)queue->max_pending_texts);
    metrics_counter_value(page, "sutra_embed_refused", "Requests that were refused so.",
                          (double)metrics_counted(&queue->refused));
    metrics_gauge_value(page, "sutra_embed_threads", "Threads that embed.",
                        (double)queue->n_threads);
}

static void begin_to_stop(struct embed_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->lock);
}

void embed_queue_stop(struct embed_queue *queue)
{
    if (queue == NULL)
        return;
    begin_to_stop(queue);
    for (size_t i = 0; i < queue->n_threads; i++) {
        pthread_join(queue->threads[i].id, NULL);
        embed_worker_free(queue->threads[i].worker);
    }
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}
