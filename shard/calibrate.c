#include "shard/calibrate.h"

#include <stdlib.h>
#include <string.h>

#include "src/cluster/candidate_columns.h"
#include "src/serve/limits.h"
#include "src/vector/calibration.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

static const size_t REPLIES_ARENA_BYTES = (size_t)1 << 30;

/* The candidates of one query, from all shards. */
struct found {
    struct candidate *candidates;
    size_t count;
};

/* What a query had looked at, on average. */
struct scanned {
    double codes; /* by all shards */
    uint32_t cells;
};

struct measuring {
    const struct task *task;
    const struct codebook_info *info;
    const struct sample_vector *queries; /* [count] */
    size_t count;
    float *rows;          /* [count][LIMIT_DIMENSION] */
    struct found *exact;  /* [count], cut to the best CALIBRATION_K by score */
    struct arena answers; /* of the exact search */
};

/* ---- Asking ---- */

static bool has_id(const struct candidate *candidate, const char *id)
{
    return candidate->id_length == strlen(id) && memcmp(candidate->id, id, strlen(id)) == 0;
}

/* Adds a shard's candidates but for the queries themselves. */
static void add_found(const struct measuring *m, struct candidate_columns *columns,
                      struct found *found)
{
    for (size_t q = 0; q < m->count; q++)
        for (uint32_t left = columns->reply->counts[q]; left > 0; left--) {
            struct candidate candidate = candidate_columns_next(columns);
            if (!has_id(&candidate, m->queries[q].id))
                found[q].candidates[found[q].count++] = candidate;
        }
}

static bool make_room(const struct measuring *m, const struct candidate_columns *columns,
                      struct arena *arena, struct found *found)
{
    for (size_t q = 0; q < m->count; q++) {
        size_t capacity = 0;
        for (uint32_t s = 0; s < task_shards(m->task); s++)
            capacity += columns[s].reply->counts[q];
        found[q].candidates = arena_calloc(arena, capacity, sizeof *found[q].candidates);
        if (found[q].candidates == NULL)
            return false;
    }
    return true;
}

static enum status_code open_reply(const struct measuring *m, uint32_t shard,
                                   const Sutra__Internal__V1__CandidatesResponse *reply, bool exact,
                                   struct candidate_columns *ret, struct status *st)
{
    if (candidate_columns_open(reply, m->count, ret, st) != STATUS_OK)
        return status_wrap(st, "shard %u", shard);
    if (!exact && reply->settings->codebook_version != m->info->version)
        return status_set(st, STATUS_FAILED_PRECONDITION, "shard %u does not have this codebook",
                          shard);
    return STATUS_OK;
}

/* The columns [shards] of their replies, in @arena. */
static enum status_code open_replies(const struct measuring *m, ProtobufCMessage *const *replies,
                                     bool exact, struct arena *arena,
                                     struct candidate_columns **ret, struct status *st)
{
    uint32_t shards = task_shards(m->task);
    struct candidate_columns *columns = arena_calloc(arena, shards, sizeof *columns);

    if (columns == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    for (uint32_t s = 0; s < shards && st->code == STATUS_OK; s++)
        open_reply(m, s, (const Sutra__Internal__V1__CandidatesResponse *)replies[s], exact,
                   &columns[s], st);
    *ret = columns;
    return st->code;
}

static void add_scanned(const struct measuring *m,
                        const Sutra__Internal__V1__CandidatesResponse *reply,
                        struct scanned *scanned)
{
    scanned->codes += (double)reply->scanned_codes / (double)m->count;
    scanned->cells = reply->settings->nprobe; /* the same on every shard */
}

/* The candidates of all queries, in @arena. */
static enum status_code search(const struct measuring *m, float reach, uint32_t rerank, bool exact,
                               struct arena *arena, struct found *ret_found,
                               struct scanned *ret_scanned, struct status *st)
{
    Sutra__Internal__V1__CandidatesRequest request = SUTRA__INTERNAL__V1__CANDIDATES_REQUEST__INIT;
    struct candidate_columns *columns = NULL;
    ProtobufCMessage **replies;

    request.queries.data = (uint8_t *)m->rows;
    request.queries.len = m->count * LIMIT_DIMENSION * sizeof *m->rows;
    request.query_count = (uint32_t)m->count;
    request.exact = exact;
    request.cell_reach = reach;
    request.rerank = rerank;
    request.k = CALIBRATION_K;
    request.extra = 1;
    request.codebook_version = m->info->version;
    if (task_ask(m->task, "Candidates", UINT32_MAX, &request.base,
                 &sutra__internal__v1__candidates_response__descriptor, arena, &replies,
                 st) != STATUS_OK ||
        open_replies(m, replies, exact, arena, &columns, st) != STATUS_OK)
        return st->code;
    if (!make_room(m, columns, arena, ret_found))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    *ret_scanned = (struct scanned){ 0 };
    for (uint32_t s = 0; s < task_shards(m->task); s++) {
        add_scanned(m, columns[s].reply, ret_scanned);
        add_found(m, &columns[s], ret_found);
    }
    return STATUS_OK;
}

/* ---- Comparing ---- */

static int compare_ids(const struct candidate *a, const struct candidate *b)
{
    return concept_id_compare((const char *)a->id, a->id_length, (const char *)b->id, b->id_length);
}

static int compare(float a, float b, const struct candidate *x, const struct candidate *y)
{
    if (a != b)
        return a > b ? -1 : 1;
    return compare_ids(x, y);
}

static int by_approximate(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;

    return compare(x->approximate, y->approximate, x, y);
}

static int by_refined(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;

    return compare(x->refined, y->refined, x, y);
}

static void sort_found(struct found *found, int (*order)(const void *, const void *))
{
    if (found->count > 1)
        qsort(found->candidates, found->count, sizeof *found->candidates, order);
}

static bool holds(const struct found *found, const struct candidate *candidate)
{
    for (size_t i = 0; i < found->count; i++)
        if (compare_ids(&found->candidates[i], candidate) == 0)
            return true;
    return false;
}

/* How many of the exact hits are among the best K of the first @rerank; @found by approximate. */
static size_t count_hits(const struct found *exact, const struct found *found, uint32_t rerank,
                         struct candidate *scratch)
{
    struct found best = { .candidates = scratch, .count = found->count };
    size_t hits = 0;

    if (best.count > rerank)
        best.count = rerank;
    memcpy(scratch, found->candidates, best.count * sizeof *scratch);
    sort_found(&best, by_refined);
    if (best.count > CALIBRATION_K)
        best.count = CALIBRATION_K;
    for (size_t i = 0; i < exact->count; i++)
        hits += holds(&best, &exact->candidates[i]);
    return hits;
}

static float recall_at(const struct measuring *m, const struct found *found, uint32_t rerank,
                       struct candidate *scratch)
{
    size_t hits = 0;
    size_t possible = 0;

    for (size_t q = 0; q < m->count; q++) {
        hits += count_hits(&m->exact[q], &found[q], rerank, scratch);
        possible += m->exact[q].count;
    }
    return possible == 0 ? 1 : (float)hits / (float)possible;
}

/* ---- The grid ---- */

static enum status_code find_exactly(struct measuring *m, struct status *st)
{
    struct scanned scanned;

    if (search(m, 0, 0, true, &m->answers, m->exact, &scanned, st) != STATUS_OK)
        return st->code;
    for (size_t q = 0; q < m->count; q++) {
        sort_found(&m->exact[q], by_refined);
        if (m->exact[q].count > CALIBRATION_K)
            m->exact[q].count = CALIBRATION_K;
    }
    return STATUS_OK;
}

static uint32_t most_reranked(const struct calibration_setting *settings, size_t count, float reach)
{
    uint32_t most = 1;

    for (size_t i = 0; i < count; i++)
        if (settings[i].reach == reach && settings[i].rerank > most)
            most = settings[i].rerank;
    return most;
}

static size_t longest(const struct found *found, size_t n)
{
    size_t count = 1;

    for (size_t q = 0; q < n; q++)
        count = found[q].count > count ? found[q].count : count;
    return count;
}

/* All settings of one reach: one search serves every rerank. */
static enum status_code measure_reach(const struct measuring *m,
                                      struct calibration_setting *settings, size_t count,
                                      float reach, struct arena *arena, struct status *st)
{
    struct scanned scanned;
    struct found *found = arena_calloc(arena, m->count, sizeof *found);
    struct candidate *scratch;

    if (found == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (search(m, reach, most_reranked(settings, count, reach), false, arena, found, &scanned,
               st) != STATUS_OK)
        return st->code;
    scratch = arena_calloc(arena, longest(found, m->count), sizeof *scratch);
    if (scratch == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t q = 0; q < m->count; q++)
        sort_found(&found[q], by_approximate);
    for (size_t i = 0; i < count; i++)
        if (settings[i].reach == reach) {
            settings[i].recall = recall_at(m, found, settings[i].rerank, scratch);
            settings[i].cost =
                calibration_cost(settings[i].rerank, scanned.codes, scanned.cells, m->info->cells);
        }
    return STATUS_OK;
}

static bool is_first_of_reach(const struct calibration_setting *settings, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (settings[j].reach == settings[i].reach)
            return false;
    return true;
}

static enum status_code measure_grid(const struct measuring *m,
                                     struct calibration_setting *settings, size_t count,
                                     void (*progress)(void *context, double fraction),
                                     void *context, struct status *st)
{
    for (size_t i = 0; i < count && st->code == STATUS_OK; i++) {
        struct arena arena;
        if (!is_first_of_reach(settings, i))
            continue;
        arena_init(&arena, REPLIES_ARENA_BYTES);
        measure_reach(m, settings, count, settings[i].reach, &arena, st);
        arena_deinit(&arena);
        if (progress != NULL)
            progress(context, (double)(i + 1) / (double)count);
    }
    return st->code;
}

static enum status_code tell(const struct task *task, const struct calibration *calibration,
                             struct status *st)
{
    Sutra__Internal__V1__CalibrateRequest request = SUTRA__INTERNAL__V1__CALIBRATE_REQUEST__INIT;
    struct buf bytes = { 0 };
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    calibration_serialize(calibration, &bytes);
    request.calibration = (ProtobufCBinaryData){ .data = bytes.data, .len = bytes.size };
    if (bytes.failed)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        task_ask(task, "Calibrate", UINT32_MAX, &request.base,
                 &sutra__internal__v1__calibrate_response__descriptor, &arena, NULL, st);
    buf_deinit(&bytes);
    arena_deinit(&arena);
    return st->code;
}

/* How many settings; 0 without memory. */
static size_t make_grid(const struct measuring *m, const struct codebook *codebook,
                        struct calibration_setting *ret)
{
    uint32_t probes[CALIBRATION_MAX_REACHES];
    float reaches[CALIBRATION_MAX_REACHES];
    size_t count = calibration_probes(m->info->cells, probes);

    if (count > 0 && !codebook_typical_reaches(codebook, m->rows, m->count, probes, count, reaches))
        return 0;
    return calibration_grid(m->info->cells, reaches, count, ret);
}

static enum status_code measure(struct measuring *m, const struct codebook *codebook,
                                void (*progress)(void *context, double fraction), void *context,
                                struct calibration *ret, struct status *st)
{
    struct calibration_setting settings[CALIBRATION_MAX_SETTINGS];
    size_t count = m->rows == NULL || m->exact == NULL ? 0 : make_grid(m, codebook, settings);

    if (count == 0)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (find_exactly(m, st) == STATUS_OK &&
        measure_grid(m, settings, count, progress, context, st) == STATUS_OK)
        calibration_fit(settings, count, m->info->version, (uint32_t)m->count, ret);
    return st->code;
}

enum status_code calibrate(const struct task *task, const struct codebook *codebook,
                           const struct sample *queries,
                           void (*progress)(void *context, double fraction), void *context,
                           struct status *st)
{
    struct measuring m = {
        .task = task,
        .info = codebook_info(codebook),
        .queries = queries->vectors,
        .count = queries->count,
        .rows = sample_rows(queries),
        .exact = calloc(queries->count, sizeof *m.exact),
    };
    struct calibration calibration;

    arena_init(&m.answers, REPLIES_ARENA_BYTES);
    if (measure(&m, codebook, progress, context, &calibration, st) == STATUS_OK)
        tell(task, &calibration, st);
    arena_deinit(&m.answers);
    free(m.rows);
    free(m.exact);
    return st->code == STATUS_OK ? STATUS_OK : status_wrap(st, "calibrate");
}
