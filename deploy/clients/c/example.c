/** Learns three texts and asks a question. */

#include <stdio.h>
#include <stdlib.h>

#include "src/client/client.h"

enum { ARENA_BYTES = 1 << 20, HITS = 2 };

static const char *const texts[] = {
    "Tides are caused by the gravity of the moon.",
    "Bread is baked from flour, water, salt and yeast.",
    "A guitar has six strings that are plucked or strummed.",
};
static const char question[] = "why does the sea rise and fall";

static enum status_code learn(struct client *client, const char *text, struct arena *arena,
                              struct status *st)
{
    Sutra__V1__ConceptInput concept = SUTRA__V1__CONCEPT_INPUT__INIT;
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *written;

    concept.content = (char *)(uintptr_t)text;
    request.concept = &concept;
    if (client_learn(client, &request, arena, &written, st) == STATUS_OK)
        printf("%s %s\n", written->created ? "learned" : "knew", written->id);
    return st->code;
}

static enum status_code search(struct client *client, struct arena *arena, struct status *st)
{
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__SearchResponse *found;

    query.by_case = SUTRA__V1__QUERY__BY_TEXT;
    query.text = (char *)(uintptr_t)question;
    request.query = &query;
    request.k = HITS;
    request.include_concepts = true;
    if (client_search(client, &request, arena, &found, st) != STATUS_OK)
        return st->code;
    printf("%s?\n", question);
    for (size_t i = 0; i < found->n_hits; i++)
        printf("  %.3f  %s\n", (double)found->hits[i]->score, found->hits[i]->concept->content);
    return STATUS_OK;
}

int main(void)
{
    const struct client_options options = {
        .tls_ca = getenv("SUTRA_TLS_CA"),
        .token = getenv("SUTRA_TOKEN"),
    };
    struct client *client = NULL;
    struct status st = { 0 };
    struct arena arena; /* replies live in it */

    arena_init(&arena, ARENA_BYTES);
    client_open(NULL, &options, &client, &st); /* NULL: the address in SUTRA_ADDRESS */
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && st.code == STATUS_OK; i++)
        learn(client, texts[i], &arena, &st);
    if (st.code == STATUS_OK)
        search(client, &arena, &st);
    if (st.code != STATUS_OK)
        fprintf(stderr, "sutra: %s: %s\n", status_code_name(st.code), st.message);
    client_close(client);
    arena_deinit(&arena);
    return st.code == STATUS_OK ? 0 : 1;
}
