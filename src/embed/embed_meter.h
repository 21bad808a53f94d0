#ifndef SUTRA_EMBED_EMBED_METER_H
#define SUTRA_EMBED_EMBED_METER_H

/** What the workers of a queue count, all into one. */

#include "src/metrics/metrics.h"

struct embed_meter {
    struct metrics_counter texts;
    struct metrics_counter tokens;
    struct metrics_histogram batch_texts;
    struct metrics_histogram batch_us;
};

#endif
