#ifndef SUTRA_TESTS_SUPPORT_COLUMNS_H
#define SUTRA_TESTS_SUPPORT_COLUMNS_H

/**
 * The model of ConceptColumns: the same concepts as protobuf-c decodes them, in rows.
 */

#include <stddef.h>

#include "sutra/v1/types.pb-c.h"

/** The field of Concept, or of ConceptColumns, in which @columns are not what @rows, [n], say; NULL
 * where they agree. @dimension 0: without embeddings. Reads nothing outside of the columns,
 * whatever they hold. */
const char *test_columns_differ(const Sutra__V1__ConceptColumns *columns,
                                Sutra__V1__Concept *const *rows, size_t n, size_t dimension);

#endif
