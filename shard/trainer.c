#include "shard/trainer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shard/row.h"
#include "shard/shard.h"
#include "shard/waiting.h"
#include "src/base/clock.h"
#include "src/base/ticker.h"
#include "src/cluster/scatter.h"
#include "src/log/log.h"
#include "src/serve/limits.h"
#include "src/vector/refine.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

enum { LOOK_EVERY_MS = 2000, ITERATIONS = 20, PATIENCE_MS = 120000 };

/* A sample of all shards; TRAIN_SAMPLE_MAX vectors are about 50 MB encoded, and once more decoded.
 */
static const size_t SAMPLE_ARENA_BYTES = (size_t)1 << 30;

struct trainer {
    struct shard *shard;
    struct ticker *ticker;
    pthread_mutex_t training; /* held while one runs */
    bool stopping;            /* atomic */
};

/* What one look, or one training, sees and on whose behalf it asks. */
struct task {
    struct trainer *trainer;
    struct placement *placement;
    struct rpc_call *caller; /* NULL: the trainer's own */
};

/* ---- Asking the cluster ---- */

/* A scatter whose answers are decoded into an arena, and a wait for it. */
struct asking {
    struct waiting waiting;
    struct arena *arena;
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage **replies; /* [shard_count] */
    struct status st;
};

static void asked(struct scatter *scatter, void *ctx)
{
    struct asking *asking = ctx;

    for (size_t i = 0; i < scatter->count && asking->st.code == STATUS_OK; i++)
        scatter_unpack(&scatter->parts[i], asking->type, asking->arena,
                       &asking->replies[scatter->parts[i].shard], &asking->st);
    waiting_done(&asking->waiting);
}

/* Runs @scatter to its end; @ret_replies [shard_count], by shard number. */
static enum status_code ask(const struct task *task, struct scatter *scatter,
                            const ProtobufCMessageDescriptor *type, struct arena *arena,
                            ProtobufCMessage ***ret_replies, struct status *st)
{
    struct asking asking = { .arena = arena, .type = type };
    uint32_t shards = task->placement->topology->shard_count;

    asking.replies = arena_calloc(arena, shards, sizeof *asking.replies);
    if (scatter == NULL || asking.replies == NULL) {
        scatter_free(scatter);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    scatter->deadline_us = clock_monotonic_us() + PATIENCE_MS * INT64_C(1000);
    waiting_init(&asking.waiting);
    scatter_run(scatter, asked, &asking);
    waiting_wait(&asking.waiting);
    *ret_replies = asking.replies;
    *st = asking.st;
    return st->code;
}

static struct scatter *to_all(const struct task *task, const char *method,
                              const ProtobufCMessage *request)
{
    return scatter_new_all(task->placement, task->caller, method, request);
}

static enum status_code ask_stats(const struct task *task, struct arena *arena,
                                  ProtobufCMessage ***ret, struct status *st)
{
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;

    return ask(task, to_all(task, "Stats", &request.base), &sutra__v1__shard_stats__descriptor,
               arena, ret, st);
}

static uint64_t count_vectors(ProtobufCMessage *const *stats, uint32_t shards)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < shards; i++)
        sum += ((const Sutra__V1__ShardStats *)stats[i])->vectors;
    return sum;
}

/* ---- The sample ---- */

struct sample {
    struct sample_vector {
        uint64_t hash;
        const char *id;
        const uint8_t *row;
    } * vectors;
    size_t count;
};

static int compare_vectors(const void *a, const void *b)
{
    const struct sample_vector *x = a;
    const struct sample_vector *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return strcmp(x->id, y->id);
}

static enum status_code add_reply(struct sample *sample,
                                  const Sutra__Internal__V1__SampleResponse *reply,
                                  struct status *st)
{
    const size_t row_bytes = refine_row_bytes(LIMIT_DIMENSION);

    if (reply->n_hashes != reply->n_ids || reply->rows.len != reply->n_ids * row_bytes)
        return status_set(st, STATUS_INTERNAL, "columns of unequal length in a sample");
    for (size_t i = 0; i < reply->n_ids; i++) {
        const uint8_t *row = reply->rows.data + i * row_bytes;
        if (!refine_row_valid(row, row_bytes, LIMIT_DIMENSION))
            return status_set(st, STATUS_DATA_LOSS, "the vector of '%s' is damaged", reply->ids[i]);
        sample->vectors[sample->count++] =
            (struct sample_vector){ .hash = reply->hashes[i], .id = reply->ids[i], .row = row };
    }
    return STATUS_OK;
}

static enum status_code merge_sample(ProtobufCMessage *const *replies, uint32_t shards,
                                     struct arena *arena, struct sample *ret, struct status *st)
{
    struct sample sample = { 0 };
    size_t total = 0;

    for (uint32_t i = 0; i < shards; i++)
        total += ((const Sutra__Internal__V1__SampleResponse *)replies[i])->n_ids;
    sample.vectors = arena_calloc(arena, total, sizeof *sample.vectors);
    if (sample.vectors == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory for a sample of %zu",
                          total);
    for (uint32_t i = 0; i < shards; i++)
        if (add_reply(&sample, (const Sutra__Internal__V1__SampleResponse *)replies[i], st) !=
            STATUS_OK)
            return st->code;
    qsort(sample.vectors, sample.count, sizeof *sample.vectors, compare_vectors);
    *ret = sample;
    return STATUS_OK;
}

/* The bound below which about @wanted of @stored hashes lie: so many that it would be a wonder if
 * fewer than a training takes were found. */
static uint64_t hash_bound(uint64_t wanted, uint64_t stored)
{
    if (wanted < 2 * CODEBOOK_MIN_SAMPLES)
        wanted = 2 * CODEBOOK_MIN_SAMPLES;
    if (wanted >= stored)
        return UINT64_MAX;
    return (uint64_t)((double)wanted / (double)stored * 18446744073709549568.0);
}

static enum status_code gather_sample(const struct task *task, uint32_t wanted, uint64_t stored,
                                      struct arena *arena, struct sample *ret, struct status *st)
{
    Sutra__Internal__V1__SampleRequest request = SUTRA__INTERNAL__V1__SAMPLE_REQUEST__INIT;
    ProtobufCMessage **replies;

    request.max_hash = hash_bound(wanted, stored);
    if (ask(task, to_all(task, "Sample", &request.base),
            &sutra__internal__v1__sample_response__descriptor, arena, &replies, st) != STATUS_OK)
        return st->code;
    return merge_sample(replies, task->placement->topology->shard_count, arena, ret, st);
}

/* ---- Training ---- */

static bool is_cancelled(void *ctx)
{
    const struct task *task = ctx;

    return __atomic_load_n(&task->trainer->stopping, __ATOMIC_RELAXED) ||
           (task->caller != NULL && rpc_cancelled(task->caller));
}

static enum status_code train_on(struct task *task, const struct sample *sample, uint64_t version,
                                 uint64_t seed, struct codebook **ret, struct status *st)
{
    const struct codebook_train_options options = {
        .seed = seed,
        .iterations = ITERATIONS,
        .version = version,
        .cancelled = is_cancelled,
        .context = task,
    };
    float *rows;

    if (sample->count < CODEBOOK_MIN_SAMPLES)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "a codebook needs %d vectors, the sample has %zu", CODEBOOK_MIN_SAMPLES,
                          sample->count);
    rows = malloc(sample->count * LIMIT_DIMENSION * sizeof *rows);
    if (rows == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory for a sample of %zu",
                          sample->count);
    for (size_t i = 0; i < sample->count; i++) {
        row_decode(sample->vectors[i].row, rows + i * LIMIT_DIMENSION);
    }
    codebook_train(rows, sample->count, LIMIT_DIMENSION, &options, ret, st);
    free(rows);
    return st->code;
}

static enum status_code make_codebook(struct task *task, uint32_t wanted, uint64_t version,
                                      uint64_t seed, struct codebook **ret, struct status *st)
{
    uint32_t shards = task->placement->topology->shard_count;
    struct arena arena;
    struct sample sample = { 0 };
    ProtobufCMessage **stats;

    arena_init(&arena, SAMPLE_ARENA_BYTES);
    if (ask_stats(task, &arena, &stats, st) == STATUS_OK &&
        gather_sample(task, wanted, count_vectors(stats, shards), &arena, &sample, st) == STATUS_OK)
        train_on(task, &sample, version, seed, ret, st);
    arena_deinit(&arena);
    return st->code;
}

/* ---- Installing ---- */

/* Installs @codebook on shard @only, or on all shards if that is UINT32_MAX. */
static enum status_code install(const struct task *task, const struct codebook *codebook,
                                uint64_t expected_version, uint32_t only, struct status *st)
{
    Sutra__Internal__V1__InstallCodebookRequest request =
        SUTRA__INTERNAL__V1__INSTALL_CODEBOOK_REQUEST__INIT;
    uint32_t shards = task->placement->topology->shard_count;
    struct scatter *scatter = scatter_new(task->placement, task->caller, "InstallCodebook", shards);
    ProtobufCMessage **replies;
    struct buf bytes = { 0 };
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    codebook_serialize(codebook, &bytes);
    request.codebook = (ProtobufCBinaryData){ .data = bytes.data, .len = bytes.size };
    request.expected_version = expected_version;
    for (uint32_t s = 0; scatter != NULL && s < shards; s++)
        if (only == UINT32_MAX || only == s)
            scatter_add(scatter, s, &request.base);
    if (bytes.failed) {
        scatter_free(scatter);
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    } else {
        ask(task, scatter, &sutra__internal__v1__install_codebook_response__descriptor, &arena,
            &replies, st);
    }
    buf_deinit(&bytes);
    arena_deinit(&arena);
    return st->code;
}

/* The compare-and-set happens at this shard, the owner of slot 0; then the others follow. */
static enum status_code spread(const struct task *task, const struct codebook *codebook,
                               uint64_t expected_version, struct status *st)
{
    uint32_t here = task->trainer->shard->options.index;

    if (install(task, codebook, expected_version, here, st) != STATUS_OK)
        return st->code;
    return install(task, codebook, expected_version, UINT32_MAX, st);
}

static uint64_t version_in_force(struct trainer *trainer)
{
    struct codebook *codebook = index_codebook(trainer->shard->index);
    uint64_t version = codebook == NULL ? 0 : codebook_info(codebook)->version;

    codebook_unref(codebook);
    return version;
}

static enum status_code train_and_spread(struct task *task, uint32_t sample, uint64_t seed,
                                         struct codebook_info *ret_info, struct status *st)
{
    uint64_t version = version_in_force(task->trainer);
    int64_t started_us = clock_monotonic_us();
    struct codebook *codebook;

    if (make_codebook(task, sample, version + 1, seed, &codebook, st) != STATUS_OK)
        return st->code;
    if (spread(task, codebook, version, st) == STATUS_OK) {
        *ret_info = *codebook_info(codebook);
        log_line(LOG_INFO, "codebook_installed", LOG_NUMBER("version", ret_info->version),
                 LOG_NUMBER("trained_on", ret_info->trained_on),
                 LOG_NUMBER("elapsed_ms", (clock_monotonic_us() - started_us) / 1000));
    }
    codebook_unref(codebook);
    return st->code;
}

enum status_code trainer_train(struct trainer *trainer, struct rpc_call *caller, uint32_t sample,
                               uint64_t seed, struct codebook_info *ret_info, struct status *st)
{
    struct task task = { .trainer = trainer, .caller = caller };

    if (pthread_mutex_trylock(&trainer->training) != 0)
        return status_set(st, STATUS_ABORTED, "another training is running");
    task.placement = cluster_placement(trainer->shard->cluster);
    if (train_and_spread(&task, sample, seed, ret_info, st) != STATUS_OK)
        status_wrap(st, "train a codebook");
    placement_unref(task.placement);
    pthread_mutex_unlock(&trainer->training);
    return st->code;
}

/* ---- Now and then ---- */

static uint64_t stats_version(const ProtobufCMessage *stats)
{
    const Sutra__V1__CodebookStats *codebook = ((const Sutra__V1__ShardStats *)stats)->codebook;
    return codebook == NULL ? 0 : codebook->version;
}

/* What a look has found to do. */
struct findings {
    bool behind[TOPOLOGY_MAX_SHARDS]; /* shards that were away when the codebook was installed */
    uint64_t versions[TOPOLOGY_MAX_SHARDS];
    bool any_behind;
    bool enough; /* for the first codebook, of which there is none */
};

/* Fewer vectors than a training takes are never enough. */
static bool is_enough(const struct trainer *trainer, uint64_t stored)
{
    uint64_t threshold = trainer->shard->options.train_threshold;

    return threshold > 0 && stored >= threshold && stored >= CODEBOOK_MIN_SAMPLES;
}

static enum status_code look_around(const struct task *task, struct findings *ret,
                                    struct status *st)
{
    uint32_t shards = task->placement->topology->shard_count;
    uint64_t in_force = version_in_force(task->trainer);
    ProtobufCMessage **stats;
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (ask_stats(task, &arena, &stats, st) == STATUS_OK) {
        for (uint32_t s = 0; s < shards; s++) {
            ret->versions[s] = stats_version(stats[s]);
            ret->behind[s] = ret->versions[s] < in_force;
            ret->any_behind |= ret->behind[s];
        }
        ret->enough = in_force == 0 && is_enough(task->trainer, count_vectors(stats, shards));
    }
    arena_deinit(&arena);
    return st->code;
}

static void catch_up(const struct task *task, const struct findings *found, struct status *st)
{
    struct codebook *codebook = index_codebook(task->trainer->shard->index);

    for (uint32_t s = 0; s < task->placement->topology->shard_count && st->code == STATUS_OK; s++)
        if (found->behind[s])
            install(task, codebook, found->versions[s], s, st);
    codebook_unref(codebook);
}

/* A training that runs does all of this itself. */
static void act(struct task *task, const struct findings *found, struct status *st)
{
    struct codebook_info info;

    if (pthread_mutex_trylock(&task->trainer->training) != 0)
        return;
    if (found->any_behind)
        catch_up(task, found, st);
    else if (version_in_force(task->trainer) == 0)
        train_and_spread(task, TRAIN_SAMPLE_DEFAULT, 0, &info, st);
    pthread_mutex_unlock(&task->trainer->training);
}

/* Shards come and go; what fails now is tried again. */
static void look(void *ctx)
{
    struct task task = { .trainer = ctx };
    struct findings found = { 0 };
    struct status st = { 0 };

    if (!shard_owns(task.trainer->shard, 0))
        return;
    task.placement = cluster_placement(task.trainer->shard->cluster);
    if (look_around(&task, &found, &st) == STATUS_OK && (found.any_behind || found.enough))
        act(&task, &found, &st);
    placement_unref(task.placement);
    if (st.code != STATUS_OK && st.code != STATUS_UNAVAILABLE && st.code != STATUS_CANCELLED)
        log_line(LOG_WARN, "codebook_care_failed", LOG_TEXT("message", st.message));
}

enum status_code trainer_start(struct shard *shard, struct trainer **ret, struct status *st)
{
    struct trainer *trainer = calloc(1, sizeof *trainer);

    if (trainer == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    trainer->shard = shard;
    pthread_mutex_init(&trainer->training, NULL);
    if (ticker_start(LOOK_EVERY_MS, look, trainer, &trainer->ticker, st) != STATUS_OK) {
        pthread_mutex_destroy(&trainer->training);
        free(trainer);
        return st->code;
    }
    *ret = trainer;
    return STATUS_OK;
}

void trainer_stop(struct trainer *trainer)
{
    if (trainer == NULL)
        return;
    __atomic_store_n(&trainer->stopping, true, __ATOMIC_RELAXED);
    ticker_stop(trainer->ticker);
    pthread_mutex_destroy(&trainer->training);
    free(trainer);
}
