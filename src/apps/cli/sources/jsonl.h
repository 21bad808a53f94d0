#ifndef SUTRA_APPS_CLI_SOURCES_JSONL_H
#define SUTRA_APPS_CLI_SOURCES_JSONL_H

/** JSON Lines: one object per line, its keys are item_fields.h's; blank lines are skipped. An
 * unknown key, a key given twice or bytes that are not UTF-8 are errors. */

#include <stddef.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "sutra/v1/types.pb-c.h"

/** One line, without its LF. Everything in @arena. */
enum status_code jsonl_parse_item(const char *line, size_t length, struct arena *arena,
                                  Sutra__V1__ConceptInput **ret_item, struct status *st);

#endif
