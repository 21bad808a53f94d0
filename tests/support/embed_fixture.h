#ifndef SUTRA_TESTS_SUPPORT_EMBED_FIXTURE_H
#define SUTRA_TESTS_SUPPORT_EMBED_FIXTURE_H

/** The real model, for tests that need one. Without it they fail and say how to fetch it. */

#include "src/embed/embed.h"

/** The model in embed_model_default_dir(); the caller closes it. Fails the test without one. */
struct embed_model *embed_fixture_model(void);

/** The same in @precision, where the machine has it. */
struct embed_model *embed_fixture_model_as(enum embed_precision precision);

/** A worker for it; the caller frees it. */
struct embed_worker *embed_fixture_worker(const struct embed_model *model);

#endif
