/*
 * Learn, Put and LearnBatch: one request, one write job.
 */

#include <string.h>

#include "src/cluster/write.h"
#include "src/rpc/details.h"

struct learn {
    struct verb verb;
    struct write_job job;
    Sutra__V1__ConceptInput *single; /* of Learn and Put */
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

static void start(struct learn *learn, Sutra__V1__ConceptInput **items, size_t n,
                  Sutra__Internal__V1__WriteMode mode, Sutra__V1__Durability durability,
                  write_step_fn *answer)
{
    learn->answer = answer;
    learn->job = (struct write_job){
        .verb = &learn->verb,
        .arena = verb_arena(&learn->verb),
        .items = items,
        .n = n,
        .mode = mode,
        .durability = durability,
        .embed = mode == SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN,
    };
    write_prepare(&learn->job, commit);
}

/* The one result of a job of one item; its refusal is the refusal of the call. */
static enum status_code single_result(struct write_job *job, Sutra__V1__WriteResult **ret,
                                      struct status *st)
{
    static const char item_path[] = "items[0].";
    Sutra__V1__WriteResult *result = NULL;

    if (job->results == NULL)
        return limit_call_memory(st);
    result = job->results[0];
    if (result->status != NULL) {
        rpc_status_from_message(result->status, st);
        if (strncmp(st->field, item_path, strlen(item_path)) == 0)
            memmove(st->field, st->field + strlen(item_path),
                    strlen(st->field + strlen(item_path)) + 1);
        status_prefix_field(st, "concept");
    }
    *ret = result;
    return st->code;
}

static void start_single(struct learn *learn, Sutra__V1__ConceptInput *concept,
                         Sutra__Internal__V1__WriteMode mode, Sutra__V1__Durability durability,
                         write_step_fn *answer)
{
    struct status st = { 0 };

    if (concept == NULL) {
        status_set_field(&st, "concept", "concept is missing");
        verb_finish(&learn->verb, NULL, &st);
        return;
    }
    learn->single = concept;
    start(learn, &learn->single, 1, mode, durability, answer);
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

void serve_learn(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__LearnRequest *request = (const Sutra__V1__LearnRequest *)message;
    struct learn *learn = verb_new(cluster, call, sizeof *learn);

    if (learn != NULL)
        start_single(learn, request->concept, SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN,
                     request->durability, answer_learn);
}

/* ---- Put ---- */

static void answer_put(struct write_job *job)
{
    Sutra__V1__PutResponse reply = SUTRA__V1__PUT_RESPONSE__INIT;

    answer_single(job, &reply.base, &reply.id, &reply.version, &reply.created);
}

void serve_put(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__PutRequest *request = (const Sutra__V1__PutRequest *)message;
    struct learn *learn = verb_new(cluster, call, sizeof *learn);

    if (learn != NULL)
        start_single(learn, request->concept, SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_PUT,
                     request->durability, answer_put);
}

/* ---- LearnBatch ---- */

static void answer_batch(struct write_job *job)
{
    Sutra__V1__LearnBatchResponse reply = SUTRA__V1__LEARN_BATCH_RESPONSE__INIT;
    struct status st = { 0 };

    reply.n_results = job->n;
    reply.results = job->results;
    if (job->results == NULL)
        limit_call_memory(&st);
    verb_finish(job->verb, &reply.base, &st);
}

void serve_learn_batch(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__LearnBatchRequest *request = (const Sutra__V1__LearnBatchRequest *)message;
    struct learn *learn = verb_new(cluster, call, sizeof *learn);
    struct status st = { 0 };

    if (learn == NULL)
        return;
    if (validate_count("items", request->n_items, LIMIT_BATCH_ITEMS, &st) != STATUS_OK)
        verb_finish(&learn->verb, NULL, &st);
    else
        start(learn, request->items, request->n_items,
              SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN, request->durability, answer_batch);
}
