#ifndef SUTRA_APPS_CLI_ASSOCIATION_KEY_H
#define SUTRA_APPS_CLI_ASSOCIATION_KEY_H

/** The arguments that name one association: SOURCE TARGET [--type] [--label]. */

#include "src/apps/cli/options.h"
#include "sutra/v1/types.pb-c.h"

struct association_key_values {
    int type;
    const char *label;
};

extern const struct option association_key_options[];

/** Borrows everything. */
void association_key_fill(Sutra__V1__AssociationKey *key,
                          const struct association_key_values *values,
                          const struct operands *operands);

#endif
