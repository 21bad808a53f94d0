#include "src/embed/embed_queue.h"

#include "tests/support/embed_fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = EMBED_DIMENSION, TEXT_SIZE = 512, ROOM = 100000 };

/* A job with all it needs; done is posted by the callback. */
struct order {
    struct embed_job job; /* first: the callback casts back */
    struct embed_text *texts;
    char (*storage)[TEXT_SIZE];
    sem_t done;
    int calls;
    enum status_code code;
    int place; /* in the order of all ends, from 1 */
    bool cancel;
};

static int ends; /* changed by callbacks; atomic */

static void order_done(struct embed_job *job, const struct status *st)
{
    struct order *order = (struct order *)job;

    order->calls++;
    order->code = st->code;
    order->place = __atomic_add_fetch(&ends, 1, __ATOMIC_SEQ_CST);
    sem_post(&order->done);
}

static bool order_cancelled(void *context)
{
    return ((struct order *)context)->cancel;
}

/* Sentences of different lengths; the seed and the number tell them apart. Some are of commas,
 * each a token: more than their bytes let expect. */
static void write_sentence(char *text, unsigned seed, size_t i)
{
    static const char *const words[] = { "tide", "moon", "sea", "rises", "with", "the", "coast" };
    size_t n = 1 + (i * 5 + seed) % 40;

    snprintf(text, TEXT_SIZE, "%u %zu", seed, i);
    for (size_t w = 0; w < n; w++) {
        strcat(text, " ");
        strcat(text, i % 4 == 3 ? ",,,,," : words[(w * w + i + seed) % 7]);
    }
}

static void order_init(struct order *order, unsigned seed, size_t n)
{
    *order = (struct order){ .texts = calloc(n + 1, sizeof *order->texts),
                             .storage = calloc(n + 1, TEXT_SIZE) };
    for (size_t i = 0; i < n; i++) {
        write_sentence(order->storage[i], seed, i);
        order->texts[i] = (struct embed_text){ order->storage[i], strlen(order->storage[i]) };
    }
    order->job = (struct embed_job){ .texts = order->texts,
                                     .n = n,
                                     .ret_rows = calloc(n + 1, D * sizeof(float)),
                                     .done = order_done,
                                     .cancelled = order_cancelled,
                                     .context = order };
    sem_init(&order->done, 0, 0);
}

static void order_deinit(struct order *order)
{
    sem_destroy(&order->done);
    free(order->job.ret_rows);
    free(order->texts);
    free(order->storage);
}

static struct embed_queue *start(const struct embed_model *model, size_t threads, size_t room)
{
    const struct embed_queue_options options = { .threads = threads, .max_pending_texts = room };
    struct embed_queue *queue = NULL;
    struct status st = { 0 };

    embed_queue_start(model, &options, &queue, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    return queue;
}

static void submit(struct embed_queue *queue, struct order *order)
{
    struct status st = { 0 };

    cr_assert_eq(embed_queue_submit(queue, &order->job, &st), STATUS_OK, "%s", st.message);
}

static void wait_done(struct order *order)
{
    while (sem_wait(&order->done) != 0)
        continue;
}

/* Each row is the text's own vector, as one worker makes it. */
static void expect_rows(const struct embed_model *model, const struct order *order)
{
    struct embed_worker *worker = embed_fixture_worker(model);
    float *rows = calloc(order->job.n + 1, D * sizeof *rows);
    struct status st = { 0 };

    embed_texts(worker, order->texts, order->job.n, NULL, NULL, rows, &st);
    for (size_t i = 0; i < order->job.n; i++) {
        double product = 0;
        for (size_t k = 0; k < D; k++)
            product += (double)rows[i * D + k] * (double)order->job.ret_rows[i * D + k];
        cr_expect(product > 1 - 1e-6, "row %zu: %.7f", i, product);
    }
    free(rows);
    embed_worker_free(worker);
}

Test(embed_queue, embeds_jobs_of_every_size, .timeout = 120)
{
    static const size_t sizes[] = { 1, 2, 150, 1, 40, 0, 7 };
    enum { N = sizeof sizes / sizeof *sizes };
    struct embed_model *model = embed_fixture_model();
    struct embed_queue *queue = start(model, 2, ROOM);
    struct order orders[N];

    for (unsigned i = 0; i < N; i++)
        order_init(&orders[i], i, sizes[i]);
    for (size_t i = 0; i < N; i++)
        submit(queue, &orders[i]);
    for (size_t i = 0; i < N; i++)
        wait_done(&orders[i]);
    cr_expect_eq(embed_queue_pending(queue), 0);
    embed_queue_stop(queue);
    for (size_t i = 0; i < N; i++) {
        cr_expect_eq(orders[i].calls, 1);
        cr_expect_eq(orders[i].code, STATUS_OK);
        expect_rows(model, &orders[i]);
        order_deinit(&orders[i]);
    }
    embed_model_close(model);
}

struct submitter {
    pthread_t thread;
    struct embed_queue *queue;
    struct order orders[8];
};

static void *run_submitter(void *argument)
{
    struct submitter *s = argument;

    for (size_t i = 0; i < 8; i++)
        submit(s->queue, &s->orders[i]);
    for (size_t i = 0; i < 8; i++)
        wait_done(&s->orders[i]);
    return NULL;
}

Test(embed_queue, takes_jobs_from_many_threads, .timeout = 120)
{
    enum { N = 6 };
    struct embed_model *model = embed_fixture_model();
    struct embed_queue *queue = start(model, 2, ROOM);
    static struct submitter submitters[N];

    for (unsigned t = 0; t < N; t++) {
        submitters[t].queue = queue;
        for (unsigned i = 0; i < 8; i++)
            order_init(&submitters[t].orders[i], t * 8 + i, i % 3 + 1);
        pthread_create(&submitters[t].thread, NULL, run_submitter, &submitters[t]);
    }
    for (size_t t = 0; t < N; t++)
        pthread_join(submitters[t].thread, NULL);
    embed_queue_stop(queue);
    for (size_t t = 0; t < N; t++)
        for (size_t i = 0; i < 8; i++) {
            cr_expect_eq(submitters[t].orders[i].calls, 1);
            expect_rows(model, &submitters[t].orders[i]);
            order_deinit(&submitters[t].orders[i]);
        }
    embed_model_close(model);
}

/* A job whose callback holds its thread until the gate opens. */
struct gate {
    struct embed_job job;
    sem_t entered, open;
};

static void gate_done(struct embed_job *job, const struct status *st)
{
    struct gate *gate = (struct gate *)job;

    (void)st;
    sem_post(&gate->entered);
    while (sem_wait(&gate->open) != 0)
        continue;
}

/* The queue's only thread is in the gate when this returns. */
static void hold(struct embed_queue *queue, struct gate *gate)
{
    struct status st = { 0 };

    *gate = (struct gate){ .job = { .done = gate_done } };
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->open, 0, 0);
    cr_assert_eq(embed_queue_submit(queue, &gate->job, &st), STATUS_OK);
    while (sem_wait(&gate->entered) != 0)
        continue;
}

Test(embed_queue, a_small_job_does_not_wait_for_a_big_one, .timeout = 120)
{
    struct embed_model *model = embed_fixture_model();
    struct embed_queue *queue = start(model, 1, ROOM);
    struct order big, small;
    struct gate gate;

    order_init(&big, 1, 300);
    order_init(&small, 2, 2);
    hold(queue, &gate);
    submit(queue, &big);
    submit(queue, &small);
    sem_post(&gate.open);
    wait_done(&big);
    wait_done(&small);
    cr_expect_lt(small.place, big.place);
    embed_queue_stop(queue);
    order_deinit(&big);
    order_deinit(&small);
    embed_model_close(model);
}

Test(embed_queue, refuses_more_texts_than_it_has_room_for)
{
    struct embed_model *model = embed_fixture_model();
    struct embed_queue *queue = start(model, 1, 5);
    struct order first, second;
    struct status st = { 0 };
    struct gate gate;

    order_init(&first, 1, 3);
    order_init(&second, 2, 3);
    hold(queue, &gate);
    submit(queue, &first);
    cr_expect_eq(embed_queue_pending(queue), 3);
    cr_expect_eq(embed_queue_submit(queue, &second.job, &st), STATUS_RESOURCE_EXHAUSTED);
    cr_expect_str_eq(st.reason, "LIMIT_EXCEEDED");
    sem_post(&gate.open);
    wait_done(&first);
    submit(queue, &second); /* room again */
    wait_done(&second);
    cr_expect_eq(second.calls, 1);
    embed_queue_stop(queue);
    order_deinit(&first);
    order_deinit(&second);
    embed_model_close(model);
}

Test(embed_queue, drops_a_job_that_its_owner_cancelled)
{
    struct embed_model *model = embed_fixture_model();
    struct embed_queue *queue = start(model, 1, ROOM);
    struct order order;
    struct gate gate;

    order_init(&order, 1, 50);
    order.cancel = true;
    hold(queue, &gate);
    submit(queue, &order);
    sem_post(&gate.open);
    wait_done(&order);
    cr_expect_eq(order.code, STATUS_CANCELLED);
    cr_expect_eq(order.job.ret_rows[0], 0);
    embed_queue_stop(queue);
    order_deinit(&order);
    embed_model_close(model);
}

static void *stop_queue(void *queue)
{
    embed_queue_stop(queue);
    return NULL;
}

/* Refusing submits is how a stopping queue shows; empty jobs it still took are ended as usual. */
static void wait_until_stopping(struct embed_queue *queue, struct order *probe)
{
    struct status st = { 0 };

    while (embed_queue_submit(queue, &probe->job, &st) == STATUS_RESOURCE_EXHAUSTED)
        status_clear(&st);
    cr_assert_eq(st.code, STATUS_CANCELLED);
}

Test(embed_queue, stop_cancels_what_has_not_begun)
{
    struct embed_model *model = embed_fixture_model();
    struct embed_queue *queue = start(model, 1, 400);
    struct order waiting, probe;
    struct gate gate;
    pthread_t stopper;

    order_init(&waiting, 1, 400);
    order_init(&probe, 2, 1); /* never has room */
    hold(queue, &gate);
    submit(queue, &waiting);
    pthread_create(&stopper, NULL, stop_queue, queue);
    wait_until_stopping(queue, &probe);
    sem_post(&gate.open);
    pthread_join(stopper, NULL);
    cr_expect_eq(waiting.calls, 1);
    cr_expect_eq(waiting.code, STATUS_CANCELLED);
    cr_expect_eq(probe.calls, 0);
    order_deinit(&waiting);
    order_deinit(&probe);
    embed_model_close(model);
}

Test(embed_queue, stop_in_the_middle_ends_every_job_once, .timeout = 120)
{
    enum { N = 5 };
    struct embed_model *model = embed_fixture_model();

    for (unsigned round = 0; round < 4; round++) {
        struct embed_queue *queue = start(model, 2, ROOM);
        struct order orders[N];
        for (unsigned i = 0; i < N; i++) {
            order_init(&orders[i], i, i == 0 ? 1 : 200);
            submit(queue, &orders[i]);
        }
        wait_done(&orders[0]);
        embed_queue_stop(queue);
        for (size_t i = 0; i < N; i++) {
            cr_expect_eq(orders[i].calls, 1);
            cr_expect(orders[i].code == STATUS_OK || orders[i].code == STATUS_CANCELLED);
            order_deinit(&orders[i]);
        }
    }
    embed_model_close(model);
}

Test(embed_queue, needs_a_thread)
{
    const struct embed_queue_options options = { .threads = 0, .max_pending_texts = 1 };
    struct embed_queue *queue = NULL;
    struct status st = { 0 };

    cr_expect_eq(embed_queue_start(NULL, &options, &queue, &st), STATUS_INVALID_ARGUMENT);
    cr_expect_null(queue);
    embed_queue_stop(NULL);
}
