#include "src/cluster/candidate_columns.h"

/* Whether the ids are as long as it says, and none is empty. */
static bool ids_are_sound(const Sutra__Internal__V1__CandidatesResponse *reply)
{
    size_t bytes = 0;
    bool empty = false;

    for (size_t i = 0; i < reply->id_lengths.len; i++) {
        bytes += reply->id_lengths.data[i];
        empty |= reply->id_lengths.data[i] == 0;
    }
    return bytes == reply->ids.len && !empty;
}

static bool are_sound(const Sutra__Internal__V1__CandidatesResponse *reply, size_t queries)
{
    size_t n = reply->id_lengths.len;
    uint64_t counted = 0;

    for (size_t q = 0; q < reply->n_counts; q++)
        counted += reply->counts[q];
    return reply->n_counts == queries && (reply->n_cut == 0 || reply->n_cut == queries) &&
           counted == n && reply->n_approximate == n && reply->n_refined == n &&
           ids_are_sound(reply);
}

enum status_code candidate_columns_open(const Sutra__Internal__V1__CandidatesResponse *reply,
                                        size_t queries, struct candidate_columns *ret,
                                        struct status *st)
{
    if (!are_sound(reply, queries))
        return status_set(st, STATUS_INTERNAL, "columns of unequal length");
    if (reply->settings == NULL)
        return status_set(st, STATUS_INTERNAL, "nothing about what was searched with");
    *ret = (struct candidate_columns){ .reply = reply, .id = reply->ids.data };
    return STATUS_OK;
}

struct candidate candidate_columns_next(struct candidate_columns *columns)
{
    const Sutra__Internal__V1__CandidatesResponse *reply = columns->reply;
    struct candidate candidate = {
        .id = columns->id,
        .id_length = reply->id_lengths.data[columns->at],
        .approximate = reply->approximate[columns->at],
        .refined = reply->refined[columns->at],
    };

    columns->at++;
    columns->id += candidate.id_length;
    return candidate;
}
