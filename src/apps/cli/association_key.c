#include "src/apps/cli/association_key.h"

#include "src/apps/cli/show.h"

const struct option association_key_options[] = {
    { .name = "type",
      .kind = OPTION_CHOICE,
      .offset = offsetof(struct association_key_values, type),
      .value = SHOW_TYPE_NAMES,
      .standard = "semantic",
      .help = "of the association" },
    { .name = "label",
      .kind = OPTION_TEXT,
      .offset = offsetof(struct association_key_values, label),
      .value = "TEXT",
      .standard = "",
      .help = "of the association" },
    { 0 },
};

void association_key_fill(Sutra__V1__AssociationKey *key,
                          const struct association_key_values *values,
                          const struct operands *operands)
{
    key->source = operands->values[0];
    key->target = operands->values[1];
    key->type = show_type_of_choice(values->type);
    key->label = (char *)values->label;
}
