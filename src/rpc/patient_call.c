#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/rpc/call_impl.h"
#include "src/rpc/client_impl.h"

enum {
    FIRST_PAUSE_MS = 10,    /* doubled each time */
    LONGEST_PAUSE_MS = 250, /* also the longest that a cancelled parent waits */
    LOST_MAX = 5,
};

struct patient {
    struct rpc_channel *channel;
    struct rpc_request request; /* but for the message, which is in @bytes */
    struct rpc_bytes *bytes;
    bool repeatable;
    rpc_done done;
    void *ctx;

    int64_t since_us; /* of the first failure; 0: none */
    unsigned pauses;
    unsigned lost; /* answers that were lost over a connection which still stood */
    bool given_up;
    struct rpc_result last; /* why it is waiting, once sent */
};

static void attempt(struct patient *patient);

/* Takes *result. */
static void end(struct patient *patient, struct rpc_result *result)
{
    patient->done(patient->ctx, result);
    rpc_result_deinit(result);
    rpc_result_deinit(&patient->last);
    rpc_bytes_free(patient->bytes);
    free(patient);
}

static void end_with(struct patient *patient, enum status_code code, const char *message)
{
    struct rpc_result result = { 0 };

    status_set(&result.status, code, "%s", message);
    end(patient, &result);
}

/* Why it failed is the best that there is to say; one that was never sent is, to hear it. */
static void give_up(struct patient *patient)
{
    struct rpc_result last = rpc_result_move(&patient->last);

    patient->given_up = true;
    if (last.status.code == STATUS_OK)
        attempt(patient);
    else
        end(patient, &last);
}

static bool was_refused(const struct rpc_result *result)
{
    return result->status.code == STATUS_UNAVAILABLE &&
           strcmp(result->status.reason, RPC_SERVER_STARTING) == 0;
}

/* Whether the server has seen nothing of it, or done nothing about it. */
static bool was_not_done(const struct rpc_result *result)
{
    return result->unsent || was_refused(result);
}

bool rpc_result_was_away(const struct rpc_result *result)
{
    return result->status.code == STATUS_UNAVAILABLE &&
           (result->details == NULL || was_refused(result));
}

/* Whether somebody answered: a deadline may have passed, and a caller gone, before anybody was
 * asked. */
static bool was_there(const struct rpc_result *result)
{
    return !rpc_result_was_away(result) && result->status.code != STATUS_DEADLINE_EXCEEDED &&
           result->status.code != STATUS_CANCELLED;
}

static void note_presence(struct rpc_channel *channel)
{
    if (atomic_load_explicit(&channel->away_since_us, memory_order_relaxed) != 0)
        atomic_store(&channel->away_since_us, 0);
}

/* Until when the server is worth waiting for. */
static int64_t worth_until_us(struct patient *patient, int64_t now_us)
{
    int64_t since_us = 0;

    if (patient->since_us == 0)
        patient->since_us = now_us;
    if (atomic_compare_exchange_strong(&patient->channel->away_since_us, &since_us, now_us))
        since_us = now_us;
    if (since_us > patient->since_us)
        since_us = patient->since_us;
    return since_us + patient->channel->away_ms * 1000;
}

static int64_t deadline_us(const struct patient *patient)
{
    int64_t own_us = patient->request.deadline_us != 0 ? patient->request.deadline_us : INT64_MAX;
    int64_t theirs_us =
        patient->request.parent != NULL ? rpc_deadline_us(patient->request.parent) : INT64_MAX;

    return own_us < theirs_us ? own_us : theirs_us;
}

static bool parent_has_gone(const struct patient *patient)
{
    return patient->request.parent != NULL && rpc_cancelled(patient->request.parent);
}

static int64_t next_pause_us(struct patient *patient)
{
    int64_t pause_ms = FIRST_PAUSE_MS << patient->pauses;

    if (pause_ms >= LONGEST_PAUSE_MS)
        return LONGEST_PAUSE_MS * 1000;
    patient->pauses++;
    return pause_ms * 1000;
}

static void on_awake(void *ctx);

/* Waits, as long as it is worth it. */
static void wait_or_give_up(struct patient *patient)
{
    int64_t now_us = clock_monotonic_us();
    int64_t until_us = worth_until_us(patient, now_us);
    int64_t awake_us = now_us + next_pause_us(patient);

    if (parent_has_gone(patient))
        end_with(patient, STATUS_CANCELLED, "the caller has gone");
    else if (now_us >= deadline_us(patient))
        end_with(patient, STATUS_DEADLINE_EXCEEDED, "the server did not come back in time");
    else if (now_us >= until_us)
        give_up(patient);
    else
        rpc_channel_await(patient->channel, awake_us < until_us ? awake_us : until_us, on_awake,
                          patient);
}

static void on_awake(void *ctx)
{
    struct patient *patient = ctx;

    if (rpc_channel_is_connected(patient->channel))
        attempt(patient);
    else
        wait_or_give_up(patient);
}

static void on_answer(void *ctx, struct rpc_result *result)
{
    struct patient *patient = ctx;

    if (was_there(result))
        note_presence(patient->channel);
    if (patient->given_up || !rpc_result_was_away(result)) {
        end(patient, result);
        return;
    }
    rpc_result_deinit(&patient->last);
    patient->last = rpc_result_move(result);
    if (was_not_done(&patient->last) ||
        (patient->repeatable &&
         (!rpc_channel_is_connected(patient->channel) || ++patient->lost < LOST_MAX)))
        wait_or_give_up(patient);
    else
        give_up(patient);
}

static void attempt(struct patient *patient)
{
    struct rpc_request request = patient->request;

    request.bytes = rpc_bytes_share(patient->bytes);
    rpc_call_unary(patient->channel, &request, on_answer, patient, NULL);
}

static struct patient *patient_new(struct rpc_channel *channel, const struct rpc_request *request,
                                   bool repeatable, rpc_done done, void *ctx)
{
    struct patient *patient = malloc(sizeof *patient);

    assert(patient != NULL); /* as gRPC's own allocator would */
    *patient = (struct patient){
        .channel = channel,
        .request = *request,
        .bytes = request->message != NULL ? rpc_bytes_pack(request->message) : request->bytes,
        .repeatable = repeatable,
        .done = done,
        .ctx = ctx,
    };
    patient->request.message = NULL;
    patient->request.bytes = NULL;
    return patient;
}

void rpc_call_patient(struct rpc_channel *channel, const struct rpc_request *request,
                      bool repeatable, rpc_done done, void *ctx)
{
    struct patient *patient;

    if (channel->away_ms == 0) {
        rpc_call_unary(channel, request, done, ctx, NULL);
        return;
    }
    patient = patient_new(channel, request, repeatable, done, ctx);
    if (repeatable || rpc_channel_is_connected(channel))
        attempt(patient);
    else
        wait_or_give_up(patient);
}
