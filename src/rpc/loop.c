#include "src/rpc/loop.h"

#include <assert.h>
#include <grpc/support/log.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "src/rpc/loop_impl.h"

enum { MIB = 1024 * 1024 };

struct rpc_loop {
    grpc_completion_queue *queue;
    /* A call that is never made: an empty batch on it is how a function gets into the queue. */
    grpc_channel *bell_channel;
    grpc_call *bell;
    pthread_t thread;
    atomic_size_t holders;
};

struct posted {
    struct rpc_tag tag;
    struct rpc_loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
};

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define TSAN_ACQUIRE(p) __tsan_acquire(p)
#define TSAN_RELEASE(p) __tsan_release(p)
#else
#define TSAN_ACQUIRE(p) (void)(p)
#define TSAN_RELEASE(p) (void)(p)
#endif

static _Thread_local const struct rpc_loop *current_loop;

/* absl::SetMutexDeadlockDetectionMode(), under the name that Debian's inline namespace gives it;
 * NULL where a gRPC has no such function. */
extern void absl_set_deadlock_detection(int mode) __asm__(
    "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE") __attribute__((weak));

/* Debian's libraries are built without NDEBUG, so that gRPC's every lock and unlock would walk a
 * graph of who waits for whom: 7 % of what a search over several shards takes. */
static void trust_lock_order(void)
{
    enum { IGNORE = 0 };

    if (absl_set_deadlock_detection != NULL)
        absl_set_deadlock_detection(IGNORE);
}

void rpc_init(void)
{
    trust_lock_order();
    mallopt(M_MMAP_THRESHOLD, 32 * MIB); /* the most that glibc accepts */
    mallopt(M_TRIM_THRESHOLD, 256 * MIB);
    mallopt(M_TOP_PAD, 1 * MIB);
}

const char *rpc_library_version(void)
{
    return grpc_version_string();
}

static void (*log_fn)(const char *message);

static void on_log(gpr_log_func_args *args)
{
    log_fn(args->message);
}

void rpc_set_log(void (*fn)(const char *message))
{
    log_fn = fn;
    gpr_set_log_function(on_log);
}

static void *run(void *arg)
{
    struct rpc_loop *loop = arg;
    grpc_event event;

    current_loop = loop;
    for (;;) {
        event = grpc_completion_queue_next(loop->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        struct rpc_tag *tag = event.tag;
        TSAN_ACQUIRE(tag);
        tag->fn(tag, event.success != 0);
    }
}

static void open_bell(struct rpc_loop *loop)
{
    loop->bell_channel = grpc_lame_client_channel_create("bell", GRPC_STATUS_UNAVAILABLE, "bell");
    loop->bell = grpc_channel_create_call(loop->bell_channel, NULL, 0, loop->queue,
                                          grpc_slice_from_static_string("/bell"), NULL,
                                          gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void loop_free(struct rpc_loop *loop)
{
    grpc_call_unref(loop->bell);
    grpc_channel_destroy(loop->bell_channel);
    grpc_completion_queue_destroy(loop->queue);
    grpc_shutdown_blocking();
    free(loop);
}

/* A loop without its thread. */
static struct rpc_loop *loop_new(void)
{
    struct rpc_loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return NULL;
    grpc_init();
    loop->queue = grpc_completion_queue_create_for_next(NULL);
    atomic_init(&loop->holders, 1);
    open_bell(loop);
    return loop;
}

enum status_code rpc_loop_start(struct rpc_loop **ret_loop, struct status *st)
{
    sigset_t all, before;
    struct rpc_loop *loop;
    int error;

    /* Signals are the main thread's business: neither our thread nor gRPC's shall get them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    loop = loop_new();
    error = loop == NULL ? 0 : pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (loop == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (error != 0) {
        grpc_completion_queue_shutdown(loop->queue);
        loop_free(loop);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no thread for an rpc loop");
    }
    *ret_loop = loop;
    return STATUS_OK;
}

void rpc_loop_stop(struct rpc_loop *loop)
{
    if (loop == NULL)
        return;
    assert(!rpc_loop_is_current(loop));
    rpc_loop_release(loop);
    pthread_join(loop->thread, NULL);
    loop_free(loop);
}

static void run_posted(struct rpc_tag *tag, bool ok)
{
    struct posted *posted = RPC_TAG_OWNER(tag, struct posted, tag);

    (void)ok;
    posted->fn(posted->ctx);
    rpc_loop_release(posted->loop);
    free(posted);
}

void rpc_loop_post(struct rpc_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    struct posted *posted = malloc(sizeof *posted);

    assert(posted != NULL); /* as gRPC's own allocator would */
    *posted = (struct posted){ .tag = { run_posted }, .loop = loop, .fn = fn, .ctx = ctx };
    rpc_loop_hold(loop);
    rpc_start_batch(loop->bell, NULL, 0, &posted->tag);
}

bool rpc_loop_is_current(const struct rpc_loop *loop)
{
    return current_loop == loop;
}

void rpc_tag_hand_over(struct rpc_tag *tag)
{
    TSAN_RELEASE(tag);
}

grpc_completion_queue *rpc_loop_queue(struct rpc_loop *loop)
{
    return loop->queue;
}

void rpc_loop_hold(struct rpc_loop *loop)
{
    atomic_fetch_add_explicit(&loop->holders, 1, memory_order_relaxed);
}

void rpc_loop_release(struct rpc_loop *loop)
{
    if (atomic_fetch_sub(&loop->holders, 1) == 1)
        grpc_completion_queue_shutdown(loop->queue);
}

void rpc_start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag)
{
    grpc_call_error error;

    rpc_tag_hand_over(tag);
    error = grpc_call_start_batch(call, ops, count, tag, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
}
