#include <string.h>
#include <time.h>

#include "shard/trainer_internal.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

/* Whether an installation goes on behind a request that came to its end. */
static bool goes_on(const struct status *st)
{
    return st->code == STATUS_DEADLINE_EXCEEDED ||
           (st->code == STATUS_ABORTED && strcmp(st->reason, INDEX_INSTALLING) == 0);
}

/* Encoding goes on in the shards while it is asked for again and again: so this ends soon where the
 * trainer has to. */
static enum status_code ask_until_installed(const struct task *task, uint32_t only,
                                            const ProtobufCMessage *request, struct status *st)
{
    static const struct timespec pause = { .tv_nsec = 50 * 1000000 };

    for (;;) {
        struct arena arena;
        *st = (struct status){ 0 };
        arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
        task_ask(task, "InstallCodebook", only, request,
                 &sutra__internal__v1__install_codebook_response__descriptor, &arena, NULL, st);
        arena_deinit(&arena);
        if (!goes_on(st))
            return st->code;
        if (task_cancelled((void *)task))
            return st->code;
        nanosleep(&pause, NULL);
    }
}

enum status_code install_codebook(const struct task *task, const struct codebook *codebook,
                                  const uint64_t *expected_version, uint32_t only,
                                  struct status *st)
{
    Sutra__Internal__V1__InstallCodebookRequest request =
        SUTRA__INTERNAL__V1__INSTALL_CODEBOOK_REQUEST__INIT;
    struct buf bytes = { 0 };

    codebook_serialize(codebook, &bytes);
    request.codebook = (ProtobufCBinaryData){ .data = bytes.data, .len = bytes.size };
    request.expected_version = expected_version == NULL ? 0 : *expected_version;
    request.follow = expected_version == NULL;
    if (bytes.failed)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        ask_until_installed(task, only, &request.base, st);
    buf_deinit(&bytes);
    return st->code;
}

static enum status_code change_over(const struct task *task, uint64_t version, bool retire,
                                    struct status *st)
{
    Sutra__Internal__V1__SwitchCodebookRequest request =
        SUTRA__INTERNAL__V1__SWITCH_CODEBOOK_REQUEST__INIT;
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    request.version = version;
    request.retire = retire;
    task_ask(task, "SwitchCodebook", UINT32_MAX, &request.base,
             &sutra__internal__v1__switch_codebook_response__descriptor, &arena, NULL, st);
    arena_deinit(&arena);
    return st->code;
}

enum status_code change_over_to(const struct task *task, uint64_t version, struct status *st)
{
    if (change_over(task, version, false, st) == STATUS_OK &&
        change_over(task, version, true, st) == STATUS_OK)
        __atomic_store_n(&task->trainer->settled, version, __ATOMIC_RELAXED);
    return st->code;
}
