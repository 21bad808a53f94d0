#ifndef SUTRA_TESTS_STORE_FIXTURE_H
#define SUTRA_TESTS_STORE_FIXTURE_H

/** A store in a temporary folder, with a small record cache, and short ways to write into it.
 * Failures end the test. */

#include "src/store/store.h"

struct store_fixture {
    char path[64];
    struct store_options options; /* change, then store_fixture_reopen() */
    struct store *store;
    struct arena arena;
};

void store_fixture_open(struct store_fixture *f);
void store_fixture_reopen(struct store_fixture *f);

/** Verifies the store first: whatever a test did, nothing may be wrong with the folder. */
void store_fixture_close(struct store_fixture *f);

/** Problems are printed. */
void store_fixture_verify(struct store *store);

struct text_view text(const char *s);
struct concept_id id_of(const char *s);

/** An item of LEARN with strength and confidence 1, created at 1000. */
struct store_write item(const char *id, const char *content);
struct store_association edge(const char *source, const char *target, uint8_t type,
                              const char *label);

/** Writes one item that must not be refused. */
struct store_write_result write_one(struct store_fixture *f, struct store_write write);
void learn(struct store_fixture *f, const char *id, const char *content);

/** The stored concept; texts live in the fixture's arena. */
struct concept read_one(struct store_fixture *f, const char *id);
bool exists(struct store_fixture *f, const char *id);

/** All associations on one side; `count` 0 where there are none. */
struct store_neighbors neighbors(struct store_fixture *f, const char *id,
                                 enum store_direction direction);

bool text_is(struct text_view view, const char *expected);

/** An empty folder below the system's temporary one, and its end with all files in it. */
void temp_folder_make(char ret_path[64]);
void temp_folder_remove(const char *path);

#endif
