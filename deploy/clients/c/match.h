#ifndef SUTRA_DEPLOY_CLIENTS_C_MATCH_H
#define SUTRA_DEPLOY_CLIENTS_C_MATCH_H

/**
 * What the scenario expects, and what stands for something else in it. deploy/clients/README.md
 * says how; NULL is a value that is absent.
 */

#include <jansson.h>
#include <stdbool.h>

enum { MISMATCH_SIZE = 1024 };

/** Says in @ret_mismatch where it does not match. */
bool match(const json_t *expected, const json_t *actual, char ret_mismatch[MISMATCH_SIZE]);

/** A copy of @value in which $saved, $repeat and $times are replaced; a new reference. */
json_t *expand(const json_t *value, const json_t *saved);

/** What is at "hits.0.score"; borrowed, NULL if nothing is. */
json_t *look_up(json_t *value, const char *path);

#endif
