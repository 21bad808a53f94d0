/**
 * Walks deploy/clients/scenario.json, whose path is the argument, with the typed client
 * (src/client); deploy/clients/README.md says how it is read.
 *
 * Threads: the main one; a second one while a step waits to cancel a call.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deploy/clients/c/match.h"
#include "deploy/clients/c/methods.h"
#include "src/base/clock.h"

enum { TOKEN_SIZE = 1024, PATH_SIZE = 4096, RETRY_PAUSE_MS = 50, DEADLINE_MS = 30 * 1000 };

/* Where Debian keeps the certificates of the authorities that a system trusts. */
static const char SYSTEM_AUTHORITIES[] = "/etc/ssl/certs/ca-certificates.crt";

static void pause_ms(long ms)
{
    struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    nanosleep(&pause, NULL);
}

static const char *text_of(const json_t *step, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(step, name));

    return text != NULL ? text : otherwise;
}

static long number_of(const json_t *step, const char *name, long otherwise)
{
    const json_t *number = json_object_get(step, name);

    return number != NULL ? (long)json_integer_value(number) : otherwise;
}

static bool cluster_has(const char *need)
{
    if (need == NULL)
        return true;
    return getenv(strcmp(need, "tls") == 0 ? "SUTRA_TLS_CA" : "SUTRA_TOKEN_FOLDER") != NULL;
}

/* The token of a role, without its line feed. */
static bool read_token(const char *who, char ret[TOKEN_SIZE], struct status *st)
{
    const char *folder = getenv("SUTRA_TOKEN_FOLDER");
    char path[PATH_SIZE];
    FILE *file;

    ret[0] = '\0';
    if (folder == NULL || strcmp(who, "nobody") == 0)
        return true;
    if (strcmp(who, "stranger") == 0) {
        snprintf(ret, TOKEN_SIZE, "no-such-token");
        return true;
    }
    snprintf(path, sizeof path, "%s/%s", folder, who);
    file = fopen(path, "re");
    if (file == NULL || fgets(ret, TOKEN_SIZE, file) == NULL)
        status_set(st, STATUS_FAILED_PRECONDITION, "no token in '%.200s'", path);
    if (file != NULL)
        fclose(file);
    ret[strcspn(ret, "\n")] = '\0';
    return st->code == STATUS_OK;
}

static const char *authority(const char *channel)
{
    const char *ca = getenv("SUTRA_TLS_CA");

    if (ca == NULL || strcmp(channel, "plaintext") == 0)
        return NULL;
    return strcmp(channel, "untrusting") == 0 ? SYSTEM_AUTHORITIES : ca;
}

/* Who calls, how, and how long it may take are properties of a client: one for each step. */
static enum status_code open_client(const json_t *step, struct client **ret, struct status *st)
{
    char token[TOKEN_SIZE];
    struct client_options options = {
        .timeout_ms = (uint32_t)number_of(step, "deadline_ms", DEADLINE_MS),
        .tls_ca = authority(text_of(step, "channel", "trusting")),
        .token = token,
    };

    if (read_token(text_of(step, "as", "writer"), token, st))
        client_open(NULL, &options, ret, st);
    return st->code;
}

/* Calls. -------------------------------------------------------------------------------------- */

struct alarm {
    struct client *client;
    long after_ms;
};

static void *cancel_then(void *ctx)
{
    const struct alarm *alarm = ctx;

    pause_ms(alarm->after_ms);
    client_cancel(alarm->client);
    return NULL;
}

static enum status_code call_cancelled(struct client *client, const json_t *step,
                                       const json_t *request, json_t **ret_answer,
                                       struct status *st)
{
    struct alarm alarm = { client, number_of(step, "cancel_after_ms", 0) };
    pthread_t thread;

    if (pthread_create(&thread, NULL, cancel_then, &alarm) != 0)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no thread");
    method_call(client, text_of(step, "method", ""), request, ret_answer, st);
    pthread_join(thread, NULL);
    return st->code;
}

static enum status_code call_once(struct client *client, const json_t *step, const json_t *request,
                                  const json_t *saved, json_t **ret_answer, struct status *st)
{
    json_t *full = expand(request, saved);

    json_decref(*ret_answer);
    *ret_answer = NULL;
    if (json_object_get(step, "cancel_after_ms") != NULL)
        call_cancelled(client, step, full, ret_answer, st);
    else
        method_call(client, text_of(step, "method", ""), full, ret_answer, st);
    json_decref(full);
    return st->code;
}

static void call_unary(struct client *client, const json_t *step, const json_t *saved,
                       json_t **ret_answer, struct status *st)
{
    const json_t *requests = json_object_get(step, "requests");

    if (requests == NULL)
        call_once(client, step, json_object_get(step, "request"), saved, ret_answer, st);
    for (size_t i = 0; i < json_array_size(requests); i++)
        if (call_once(client, step, json_array_get(requests, i), saved, ret_answer, st) !=
            STATUS_OK)
            return;
}

/* The requests without their first @count items, and without those that become empty. */
static json_t *without_first(const json_t *requests, size_t count, const json_t *saved)
{
    json_t *kept = json_array();

    for (size_t i = 0; i < json_array_size(requests); i++) {
        json_t *request = expand(json_array_get(requests, i), saved);
        json_t *items = json_object_get(request, "items");
        for (; count > 0 && json_array_size(items) > 0; count--)
            json_array_remove(items, 0);
        if (json_array_size(items) > 0)
            json_array_append(kept, request);
        json_decref(request);
    }
    return kept;
}

static void call_import(struct client *client, const json_t *step, const json_t *saved,
                        json_t **ret_answer, struct status *st)
{
    json_t *skip = expand(json_object_get(step, "skip_items"), saved);
    json_t *requests =
        without_first(json_object_get(step, "requests"), (size_t)json_integer_value(skip), saved);

    method_import(client, requests, (size_t)number_of(step, "cancel_after", 0), ret_answer, st);
    json_decref(requests);
    json_decref(skip);
}

static void call_list(struct client *client, const json_t *step, const json_t *saved,
                      json_t **ret_answer, struct status *st)
{
    json_t *request = expand(json_object_get(step, "request"), saved);

    method_list(client, request, ret_answer, st);
    json_decref(request);
}

static void call(const json_t *step, const json_t *saved, json_t **ret_answer, struct status *st)
{
    const char *method = text_of(step, "method", "");
    struct client *client = NULL;

    if (open_client(step, &client, st) != STATUS_OK)
        return;
    if (strcmp(method, "sutra.v1.ConceptService/Import") == 0)
        call_import(client, step, saved, ret_answer, st);
    else if (strcmp(method, "sutra.v1.ConceptService/List") == 0)
        call_list(client, step, saved, ret_answer, st);
    else
        call_unary(client, step, saved, ret_answer, st);
    client_close(client);
}

/* Steps. -------------------------------------------------------------------------------------- */

/* As the scenario expects it. The client takes a reason from details of our domain only, and a
 * violation's description is the status' message. NULL for OK. */
static json_t *error_of(const struct status *st)
{
    json_t *error;

    if (st->code == STATUS_OK)
        return NULL;
    error = json_pack("{s:s, s:s}", "code", status_code_name(st->code), "message", st->message);
    if (st->field[0] != '\0')
        json_object_set_new(
            error, "fieldViolations",
            json_pack("[{s:s, s:s}]", "field", st->field, "description", st->message));
    if (st->reason[0] != '\0') {
        json_object_set_new(error, "reason", json_string(st->reason));
        json_object_set_new(error, "domain", json_string("sutra.v1"));
    }
    return error;
}

static bool matches(const json_t *expected, const json_t *actual, const json_t *saved,
                    char *ret_mismatch)
{
    json_t *full = expected != NULL ? expand(expected, saved) : json_null();
    bool holds = match(full, actual, ret_mismatch);

    json_decref(full);
    return holds;
}

static void save(const json_t *step, json_t *answer, json_t *saved)
{
    const char *name;
    json_t *path;

    json_object_foreach(json_object_get(step, "save"), name, path)
        json_object_set(saved, name, look_up(answer, json_string_value(path)));
}

static bool try_once(const json_t *step, json_t *saved, char *ret_mismatch)
{
    const json_t *expected = json_object_get(step, "expect");
    struct status st = { 0 };
    json_t *answer = NULL;
    json_t *error;
    bool holds;

    call(step, saved, &answer, &st);
    error = error_of(&st);
    holds = matches(json_object_get(step, "error"), error, saved, ret_mismatch);
    if (holds && answer != NULL && expected != NULL)
        holds = matches(expected, answer, saved, ret_mismatch);
    if (holds && answer != NULL)
        save(step, answer, saved);
    json_decref(error);
    json_decref(answer);
    return holds;
}

static bool run_step(const json_t *step, json_t *saved, char *ret_mismatch)
{
    const int64_t until = clock_monotonic_us() + number_of(step, "within_ms", 0) * 1000;

    while (!try_once(step, saved, ret_mismatch)) {
        if (clock_monotonic_us() >= until)
            return false;
        pause_ms(RETRY_PAUSE_MS);
    }
    return true;
}

static int walk(const json_t *steps)
{
    json_t *saved = json_object();
    int passed = 0;
    int failed = 0;
    int left_out = 0;

    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *name = text_of(step, "name", "");
        const char *needs = text_of(step, "needs", NULL);
        char mismatch[MISMATCH_SIZE];
        if (!cluster_has(needs)) {
            left_out++;
            printf("left out  %s (needs %s)\n", name, needs);
        } else if (run_step(step, saved, mismatch)) {
            passed++;
            printf("ok        %s\n", name);
        } else {
            failed++;
            printf("FAILED    %s: %s\n", name, mismatch);
        }
    }
    printf("c: %d passed, %d failed, %d left out\n", passed, failed, left_out);
    json_decref(saved);
    return failed;
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *scenario;
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: scenario FILE\n");
        return 2;
    }
    scenario = json_load_file(argv[1], 0, &error);
    if (scenario == NULL) {
        fprintf(stderr, "%s: line %d: %s\n", argv[1], error.line, error.text);
        return 2;
    }
    failed = walk(json_object_get(scenario, "steps"));
    json_decref(scenario);
    return failed == 0 ? 0 : 1;
}
