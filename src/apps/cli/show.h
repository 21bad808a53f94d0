#ifndef SUTRA_APPS_CLI_SHOW_H
#define SUTRA_APPS_CLI_SHOW_H

/** How the nouns of Sutra look in tables, and how they are named in arguments. */

#include <stdint.h>

#include "src/apps/cli/cli.h"
#include "sutra/v1/types.pb-c.h"

/** "hierarchical". */
const char *show_type(Sutra__V1__AssociationType type);

/** Cells in the arena; "" when it is full. */
const char *show_float(struct arena *arena, float value, int decimals);
const char *show_count(struct arena *arena, uint64_t count);
const char *show_bytes(struct arena *arena, uint64_t bytes);

/** All of a concept: its fields, then its content as it is. */
void show_concept(struct cli *cli, const Sutra__V1__Concept *concept);

/** One line: source, arrow with type and label, target, weight and confidence. */
void show_association(struct cli *cli, const Sutra__V1__Association *association);

/** A table of titles and values. NULL when the arena is full. */
struct table *show_fields_new(struct cli *cli);
void show_field(struct table *table, const char *name, const char *value);

/* Options that name an association type: the words of OPTION_CHOICE, in the order of the enum from
 * SEMANTIC on. */
#define SHOW_TYPE_NAMES "semantic|causal|temporal|hierarchical|compositional"

/* The same for a filter, in the order of the whole enum. */
#define SHOW_TYPE_WORDS "any|" SHOW_TYPE_NAMES

/* The type of a choice among SHOW_TYPE_NAMES. */
static inline Sutra__V1__AssociationType show_type_of_choice(int choice)
{
    return (Sutra__V1__AssociationType)(choice +
                                        SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC);
}

#endif
