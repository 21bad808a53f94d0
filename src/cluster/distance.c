/*
 * Distance: the vectors of all pairs are gathered, the cosines are taken here. So the result
 * depends on what is stored, not on where.
 */

#include <math.h>

#include "src/cluster/vectors.h"

struct distance {
    struct verb verb;
    struct vectors vectors;
    struct concept_id *ids; /* [2 * pairs]: a, b, a, b, … */
    size_t pairs;
};

/* In one fixed order and precision, so that equal vectors give equal bytes everywhere. */
static double dot(const float *a, const float *b)
{
    double sum = 0;

    for (int i = 0; i < LIMIT_DIMENSION; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static float cosine_distance(const float *a, const float *b)
{
    double lengths = sqrt(dot(a, a) * dot(b, b));

    return lengths > 0 ? (float)(1 - dot(a, b) / lengths) : 1;
}

static void answer(struct vectors *vectors, const struct status *gathered)
{
    struct distance *distance = (struct distance *)vectors->verb;
    struct arena *arena = verb_arena(&distance->verb);
    Sutra__V1__DistanceResponse reply = SUTRA__V1__DISTANCE_RESPONSE__INIT;
    struct status st = *gathered;

    reply.n_distances = distance->pairs;
    reply.distances = arena_calloc(arena, distance->pairs, sizeof *reply.distances);
    reply.missing = arena_calloc(arena, distance->pairs, sizeof *reply.missing);
    if ((reply.distances == NULL || reply.missing == NULL) && st.code == STATUS_OK)
        limit_call_memory(&st);
    for (size_t i = 0; i < distance->pairs && st.code == STATUS_OK; i++) {
        const float *a = vectors->rows[2 * i];
        const float *b = vectors->rows[2 * i + 1];
        if (a != NULL && b != NULL)
            reply.distances[i] = cosine_distance(a, b);
        else
            reply.missing[reply.n_missing++] = (uint32_t)i;
    }
    verb_finish(&distance->verb, &reply.base, &st);
}

static enum status_code check_end(const char *id, size_t pair, const char *end,
                                  struct concept_id *ret, struct status *st)
{
    if (validate_id(id, ret, st) != STATUS_OK) {
        validate_name_field(st, end);
        status_prefix_field(st, "pairs[%zu]", pair);
    }
    return st->code;
}

static enum status_code read_pairs(struct distance *distance,
                                   const Sutra__V1__DistanceRequest *request, struct status *st)
{
    if (validate_count("pairs", request->n_pairs, LIMIT_BATCH_ITEMS, st) != STATUS_OK)
        return st->code;
    distance->pairs = request->n_pairs;
    distance->ids =
        arena_calloc(verb_arena(&distance->verb), 2 * request->n_pairs, sizeof *distance->ids);
    if (distance->ids == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < request->n_pairs && st->code == STATUS_OK; i++)
        if (check_end(request->pairs[i]->a, i, "a", &distance->ids[2 * i], st) == STATUS_OK)
            check_end(request->pairs[i]->b, i, "b", &distance->ids[2 * i + 1], st);
    return st->code;
}

void serve_distance(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__DistanceRequest *request = (const Sutra__V1__DistanceRequest *)message;
    struct distance *distance = verb_new(cluster, call, sizeof *distance);
    struct status st = { 0 };

    if (distance == NULL)
        return;
    if (read_pairs(distance, request, &st) != STATUS_OK) {
        verb_finish(&distance->verb, NULL, &st);
        return;
    }
    distance->vectors = (struct vectors){
        .verb = &distance->verb,
        .ids = distance->ids,
        .n = 2 * distance->pairs,
        .decoded = request->approximate,
        .done = answer,
    };
    vectors_run(&distance->vectors);
}
