#include "tests/support/store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void end_unless(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

void temp_folder_make(char ret_path[64])
{
    snprintf(ret_path, 64, "/tmp/sutra-store-XXXXXX");
    end_unless(mkdtemp(ret_path) != NULL, "mkdtemp failed");
}

void temp_folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char file[512];

    end_unless(folder != NULL, "the temporary folder is gone");
    while ((entry = readdir(folder)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        unlink(file); /* "." and ".." stay */
    }
    closedir(folder);
    rmdir(path);
}

void store_fixture_open(struct store_fixture *f)
{
    *f = (struct store_fixture){ 0 };
    temp_folder_make(f->path);
    f->options.path = f->path;
    f->options.record_cache_bytes = 64 << 10;
    arena_init(&f->arena, SIZE_MAX);
    store_fixture_reopen(f);
}

void store_fixture_reopen(struct store_fixture *f)
{
    struct status st = { 0 };

    store_close(f->store);
    f->store = NULL;
    store_open(&f->options, &f->store, &st);
    end_unless(st.code == STATUS_OK, st.message);
}

static void print_problem(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "%s\n", sentence);
}

void store_fixture_verify(struct store *store)
{
    struct store_verify_report report;
    struct status st = { 0 };

    store_verify(store, print_problem, NULL, &report, &st);
    end_unless(st.code == STATUS_OK, st.message);
    end_unless(report.problems == 0, "the store is inconsistent");
}

void store_fixture_close(struct store_fixture *f)
{
    store_fixture_verify(f->store);
    store_close(f->store);
    arena_deinit(&f->arena);
    temp_folder_remove(f->path);
}

struct text_view text(const char *s)
{
    return (struct text_view){ s, strlen(s) };
}

struct concept_id id_of(const char *s)
{
    return concept_id_trusted(s, strlen(s));
}

struct store_write item(const char *id, const char *content)
{
    return (struct store_write){
        .id = id_of(id),
        .concept = { .content = text(content), .strength = 1, .confidence = 1, .created_us = 1000 },
        .mode = STORE_LEARN,
    };
}

struct store_association edge(const char *source, const char *target, uint8_t type,
                              const char *label)
{
    return (struct store_association){
        .source = text(source),
        .target = text(target),
        .type = type,
        .label = text(label),
        .weight = 1,
        .confidence = 0.5f,
        .created_us = 2000,
    };
}

struct store_write_result write_one(struct store_fixture *f, struct store_write write)
{
    struct store_write_result result;
    struct status st = { 0 };

    store_write(f->store, &write, 1, false, &result, &st);
    end_unless(st.code == STATUS_OK, st.message);
    end_unless(result.status.code == STATUS_OK, result.status.message);
    return result;
}

void learn(struct store_fixture *f, const char *id, const char *content)
{
    write_one(f, item(id, content));
}

struct concept read_one(struct store_fixture *f, const char *id)
{
    struct concept_id key = id_of(id);
    struct store_value value = { 0 };
    struct status st = { 0 };
    struct concept concept = { 0 };
    void *copy;

    store_get(f->store, &key, &value, &st);
    end_unless(st.code == STATUS_OK, st.message);
    copy = arena_copy(&f->arena, value.data, value.size);
    concept_wire_decode(copy, value.size, &f->arena, &concept, &st);
    end_unless(st.code == STATUS_OK, st.message);
    store_value_release(&value);
    return concept;
}

bool exists(struct store_fixture *f, const char *id)
{
    struct concept_id key = id_of(id);
    struct store_value value = { 0 };
    struct status st = { 0 };

    store_get(f->store, &key, &value, &st);
    end_unless(st.code == STATUS_OK || st.code == STATUS_NOT_FOUND, st.message);
    store_value_release(&value);
    return st.code == STATUS_OK;
}

struct store_neighbors neighbors(struct store_fixture *f, const char *id,
                                 enum store_direction direction)
{
    struct store_neighbors_query query = { id_of(id), direction, 0, 1000, { 0 } };
    struct store_neighbors answer = { 0 };
    struct status st = { 0 };

    store_neighbors(f->store, &query, &f->arena, &answer, &st);
    end_unless(st.code == STATUS_OK, st.message);
    return answer;
}

bool text_is(struct text_view view, const char *expected)
{
    return view.length == strlen(expected) &&
           (view.length == 0 || memcmp(view.data, expected, view.length) == 0);
}
