#include "src/apps/cli/import_state.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/ids/concept_id.h"

static enum status_code out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static enum status_code make_folder(const char *path, struct status *st)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return status_set_errno(st, errno, "make folder '%s'", path);
    return STATUS_OK;
}

static char *cache_folder(struct arena *arena)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (cache != NULL && cache[0] == '/')
        return arena_strndup(arena, cache, strlen(cache));
    if (home != NULL && home[0] == '/')
        return arena_printf(arena, "%s/.cache", home);
    return NULL;
}

static enum status_code make_state_folder(struct arena *arena, const char **ret, struct status *st)
{
    const char *cache = cache_folder(arena);
    const char *folder;

    if (cache == NULL)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "neither $XDG_CACHE_HOME nor $HOME says where to keep the state of the "
                          "import; name a file with --state");
    folder = arena_printf(arena, "%s/sutra", cache);
    if (folder == NULL)
        return out_of_memory(st);
    if (make_folder(cache, st) == STATUS_OK && make_folder(folder, st) == STATUS_OK)
        *ret = folder;
    return st->code;
}

enum status_code import_state_default_path(const char *address, const char *key,
                                           struct arena *arena, const char **ret_path,
                                           struct status *st)
{
    const char *folder = NULL;
    const char *named = arena_printf(arena, "%s\n%s", address, key);
    char hash[CONCEPT_ID_CONTENT_HEX + 1];
    const char *path;

    if (named == NULL)
        return out_of_memory(st);
    if (make_state_folder(arena, &folder, st) != STATUS_OK)
        return st->code;
    concept_id_of_content(named, strlen(named), hash);
    path = arena_printf(arena, "%s/import-%.16s.json", folder, hash);
    if (path == NULL)
        return out_of_memory(st);
    *ret_path = path;
    return STATUS_OK;
}

enum status_code import_state_check_path(const char *path, struct status *st)
{
    struct stat info;

    if (lstat(path, &info) != 0 || S_ISREG(info.st_mode))
        return STATUS_OK;
    return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is not a file to keep a state in", path);
}

static enum status_code dump(const char *path, const struct import_state *state, struct status *st)
{
    json_t *json = json_pack("{s:s, s:s, s:I}", "address", state->address, "source",
                             state->fingerprint, "settled_items", (json_int_t)state->settled_items);

    if (json == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the source's path is not UTF-8");
    errno = 0;
    if (json_dump_file(json, path, JSON_INDENT(1)) != 0)
        status_set_errno(st, errno != 0 ? errno : EIO, "write '%s'", path);
    json_decref(json);
    return st->code;
}

enum status_code import_state_write(const char *path, const struct import_state *state,
                                    struct status *st)
{
    char beside[4096];
    int length = snprintf(beside, sizeof beside, "%s.new", path);

    if (length < 0 || (size_t)length >= sizeof beside)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the path '%.80s…' is too long", path);
    if (dump(beside, state, st) != STATUS_OK)
        return st->code;
    if (rename(beside, path) != 0) {
        status_set_errno(st, errno, "rename '%s'", beside);
        unlink(beside);
    }
    return st->code;
}

static enum status_code unpack(json_t *json, struct arena *arena, struct import_state *ret,
                               struct status *st)
{
    const char *address;
    const char *fingerprint;
    json_int_t settled;
    struct import_state state;

    if (json_unpack(json, "{s:s, s:s, s:I}", "address", &address, "source", &fingerprint,
                    "settled_items", &settled) != 0 ||
        settled < 0)
        return status_set(st, STATUS_DATA_LOSS, "not the state of an import");
    state = (struct import_state){
        .address = arena_strndup(arena, address, strlen(address)),
        .fingerprint = arena_strndup(arena, fingerprint, strlen(fingerprint)),
        .settled_items = (uint64_t)settled,
    };
    if (state.address == NULL || state.fingerprint == NULL)
        return out_of_memory(st);
    *ret = state;
    return STATUS_OK;
}

enum status_code import_state_read(const char *path, struct arena *arena, struct import_state *ret,
                                   struct status *st)
{
    json_error_t error;
    json_t *json;

    if (access(path, F_OK) != 0)
        return status_set_errno(st, errno, "open '%s'", path);
    json = json_load_file(path, 0, &error);
    if (json == NULL)
        return status_set(st, STATUS_DATA_LOSS, "read '%s': %s", path, error.text);
    if (unpack(json, arena, ret, st) != STATUS_OK)
        status_wrap(st, "read '%s'", path);
    json_decref(json);
    return st->code;
}

enum status_code import_state_check(const struct import_state *state, const char *address,
                                    const char *fingerprint, struct status *st)
{
    if (strcmp(state->address, address) != 0)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "the import to resume went to %s, not to %s", state->address, address);
    if (strcmp(state->fingerprint, fingerprint) != 0)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "the source is not what it was when the import began; start again "
                          "without --resume");
    return STATUS_OK;
}

void import_state_remove(const char *path)
{
    unlink(path);
}
