/*
 * Learn, Put and LearnBatch: one request, one write job.
 */

#include "src/cluster/write.h"
#include "src/rpc/details.h"

struct learn {
    struct verb verb;
    struct write_job job;
    write_step_fn *answer;
};

static struct learn *learn_of(struct write_job *job)
{
    return (struct learn *)job->verb;
}

static void commit(struct write_job *job)
{
    write_commit(job, learn_of(job)->answer);
}

typedef enum status_code read_fn(const struct rpc_bytes *bytes,
                                 const ProtobufCMessageDescriptor *type, struct arena *arena,
                                 struct write_request *ret, struct status *st);

static void serve(struct rpc_call *call, struct cluster *cluster,
                  const ProtobufCMessageDescriptor *type, read_fn *read,
                  Sutra__Internal__V1__WriteMode mode, write_step_fn *answer)
{
    struct learn *learn = verb_new(cluster, call, sizeof *learn);
    struct status st = { 0 };

    if (learn == NULL)
        return;
    learn->answer = answer;
    learn->job = (struct write_job){
        .verb = &learn->verb,
        .arena = verb_arena(&learn->verb),
        .mode = mode,
        .embed = mode == SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN,
        .single = read == write_request_read_one,
    };
    if (read(rpc_request_bytes(call), type, learn->job.arena, &learn->job.request, &st) ==
        STATUS_OK)
        write_prepare(&learn->job, commit);
    else
        verb_finish(&learn->verb, NULL, &st);
}

/* The one result of a job of one item; its refusal is the refusal of the call. */
static enum status_code single_result(struct write_job *job, Sutra__V1__WriteResult **ret,
                                      struct status *st)
{
    if (job->results == NULL)
        return limit_call_memory(st);
    *ret = job->results[0];
    if ((*ret)->status != NULL)
        rpc_status_from_message((*ret)->status, st);
    return st->code;
}

/* Ends a call whose reply has the fields of a write result. */
static void answer_single(struct write_job *job, const ProtobufCMessage *reply, char **id,
                          uint64_t *version, protobuf_c_boolean *created)
{
    Sutra__V1__WriteResult *result = NULL;
    struct status st = { 0 };

    if (single_result(job, &result, &st) == STATUS_OK) {
        *id = result->id;
        *version = result->version;
        *created = result->created;
    }
    verb_finish(job->verb, reply, &st);
}

/* ---- Learn ---- */

static void answer_learn(struct write_job *job)
{
    Sutra__V1__LearnResponse reply = SUTRA__V1__LEARN_RESPONSE__INIT;

    answer_single(job, &reply.base, &reply.id, &reply.version, &reply.created);
}

void serve_learn(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)
{
    (void)none;
    serve(call, cluster, &sutra__v1__learn_request__descriptor, write_request_read_one,
          SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN, answer_learn);
}

/* ---- Put ---- */

static void answer_put(struct write_job *job)
{
    Sutra__V1__PutResponse reply = SUTRA__V1__PUT_RESPONSE__INIT;

    answer_single(job, &reply.base, &reply.id, &reply.version, &reply.created);
}

void serve_put(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)
{
    (void)none;
    serve(call, cluster, &sutra__v1__put_request__descriptor, write_request_read_one,
          SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_PUT, answer_put);
}

/* ---- LearnBatch ---- */

static void answer_batch(struct write_job *job)
{
    Sutra__V1__LearnBatchResponse reply = SUTRA__V1__LEARN_BATCH_RESPONSE__INIT;
    struct status st = { 0 };

    reply.n_results = job->request.n;
    reply.results = job->results;
    if (job->results == NULL)
        limit_call_memory(&st);
    verb_finish(job->verb, &reply.base, &st);
}

void serve_learn_batch(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)
{
    (void)none;
    serve(call, cluster, &sutra__v1__learn_batch_request__descriptor, write_request_read,
          SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN, answer_batch);
}
