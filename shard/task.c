#include "shard/task.h"

#include "shard/shard.h"
#include "shard/trainer.h"
#include "shard/waiting.h"
#include "src/base/clock.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

/* What takes longer is asked for again. */
static const int64_t PATIENCE_US = INT64_C(60) * 1000000;

/* Answers that are decoded into an arena, and a wait for them. */
struct asking {
    struct waiting waiting;
    struct arena *arena;
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage **replies; /* [shards] */
    struct status st;
};

bool task_cancelled(void *ctx)
{
    const struct task *task = ctx;

    return trainer_stopping(task->trainer) || (task->caller != NULL && rpc_cancelled(task->caller));
}

static void asked(struct scatter *scatter, void *ctx)
{
    struct asking *asking = ctx;

    for (size_t i = 0; i < scatter->count && asking->st.code == STATUS_OK; i++)
        scatter_unpack(&scatter->parts[i], asking->type, asking->arena,
                       &asking->replies[scatter->parts[i].shard], &asking->st);
    waiting_done(&asking->waiting);
}

enum status_code task_ask(const struct task *task, const char *method, uint32_t only,
                          const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply,
                          struct arena *arena, ProtobufCMessage ***ret_replies, struct status *st)
{
    uint32_t shards = task_shards(task);
    struct scatter *scatter = scatter_new(task->placement, task->caller, method, shards);
    struct asking asking = { .arena = arena, .type = reply };

    asking.replies = arena_calloc(arena, shards, sizeof *asking.replies);
    if (scatter == NULL || asking.replies == NULL) {
        scatter_free(scatter);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    for (uint32_t s = 0; s < shards; s++)
        if (only == UINT32_MAX || only == s)
            scatter_add(scatter, s, request);
    scatter->deadline_us = clock_monotonic_us() + PATIENCE_US;
    waiting_init(&asking.waiting);
    scatter_run(scatter, asked, &asking);
    waiting_wait(&asking.waiting);
    if (ret_replies != NULL)
        *ret_replies = asking.replies;
    *st = asking.st;
    return st->code;
}

enum status_code task_ask_stats(const struct task *task, struct arena *arena,
                                ProtobufCMessage ***ret, struct status *st)
{
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;

    return task_ask(task, "Stats", UINT32_MAX, &request.base, &sutra__v1__shard_stats__descriptor,
                    arena, ret, st);
}

uint64_t task_count_vectors(const struct task *task, ProtobufCMessage *const *stats)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < task_shards(task); i++)
        sum += ((const Sutra__V1__ShardStats *)stats[i])->vectors;
    return sum;
}
