#ifndef SUTRA_APPS_CLI_SOURCES_ITEM_FIELDS_H
#define SUTRA_APPS_CLI_SOURCES_ITEM_FIELDS_H

/**
 * The fields of a concept by the names that files use, from JSON values.
 *
 *   id, content (or text), source, category   strings
 *   strength, confidence                      numbers
 *   created_us                                integer
 *   embedding                                 array of numbers
 *   attributes                                object of strings
 *   associations                              array of {target, type, label, weight, confidence}
 *
 * What `sutra list --json` prints can be read back: version, access_count and last_accessed_us are
 * accepted and not written, since only the server sets them. Stateless; everything made is in the
 * arena. Errors are INVALID_ARGUMENT with the field's name.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "sutra/v1/types.pb-c.h"

/** An empty item, NULL when the arena is full. */
Sutra__V1__ConceptInput *item_new(struct arena *arena);

/** Whether @key is one of the names above. */
bool item_has_field(const char *key);

/** Whether the field @key holds text, which a CSV cell holds as it is; the others are JSON there.
 */
bool item_field_is_text(const char *key);

/** Sets the field @key; null leaves it as it is. INVALID_ARGUMENT for an unknown key too. */
enum status_code item_set(Sutra__V1__ConceptInput *item, const char *key, const json_t *value,
                          struct arena *arena, struct status *st);

/** Sets a field that item_field_is_text(). Copies @text. */
enum status_code item_set_text(Sutra__V1__ConceptInput *item, const char *key, const char *text,
                               struct arena *arena, struct status *st);

/** Copies both strings. */
enum status_code item_add_attribute(Sutra__V1__ConceptInput *item, const char *key,
                                    const char *value, struct arena *arena, struct status *st);

/** "semantic", "causal", "temporal", "hierarchical", "compositional"; false for another word. */
bool association_type_parse(const char *name, Sutra__V1__AssociationType *ret);

#endif
