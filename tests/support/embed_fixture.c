#include "tests/support/embed_fixture.h"

#include <criterion/criterion.h>

struct embed_model *embed_fixture_model_as(enum embed_precision precision)
{
    struct embed_model *model = NULL;
    struct status st = { 0 };
    char dir[EMBED_PATH_SIZE];

    if (embed_model_default_dir(dir, &st) == STATUS_OK)
        embed_model_open_as(dir, precision, &model, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    return model;
}

struct embed_model *embed_fixture_model(void)
{
    return embed_fixture_model_as(EMBED_FLOAT32);
}

struct embed_worker *embed_fixture_worker(const struct embed_model *model)
{
    struct embed_worker *worker = NULL;
    struct status st = { 0 };

    embed_worker_new(model, &worker, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    return worker;
}
