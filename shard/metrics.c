#include "shard/courier.h"
#include "shard/op.h"
#include "shard/trainer.h"
#include "src/vector/kernel.h"

/* ---- Queues ---- */

static void collect_queues(const struct shard *shard, struct metrics_page *page)
{
    metrics_gauge_value(page, "sutra_shard_queued_operations",
                        "Operations that wait for a thread of the shard.",
                        (double)pool_waiting(shard->pool));
    metrics_gauge_value(page, "sutra_shard_queued_operations_limit",
                        "How many may wait; more are refused.", SHARD_QUEUE);
    metrics_gauge_value(page, "sutra_shard_outbox_blocked_seconds",
                        "Since when some of the outbox cannot be delivered; 0: all of it can.",
                        (double)courier_blocked_us(shard->courier) * 1e-6);
}

/* ---- What is searched ---- */

static void collect_segment(const struct shard *shard, const struct index_stats *index,
                            struct metrics_page *page)
{
    const struct segment_stats *segment = &index->segment;
    double encoded = index->codebook.version == 0 ? 0 : (double)segment->count;

    metrics_gauge_value(page, "sutra_segment_vectors", "Vectors that a search sees.",
                        (double)segment->count);
    metrics_gauge_value(page, "sutra_segment_codes", "Of them, by their code.", encoded);
    metrics_gauge_value(page, "sutra_segment_rows",
                        "Of them, with their refinement vector in memory; others are read from "
                        "disk.",
                        (double)segment->rows);
    metrics_gauge_value(page, "sutra_segment_memory_bytes", "Memory, mapped files included.",
                        (double)segment->memory_bytes);
    metrics_gauge_value(page, "sutra_segment_row_bytes", "Of it, refinement vectors.",
                        (double)segment->row_bytes);
    metrics_gauge_value(page, "sutra_segment_row_limit_bytes",
                        "How much memory refinement vectors may take (--row-memory-mb).",
                        (double)shard->options.row_budget_bytes);
    metrics_gauge_value(page, "sutra_segment_groups", "Groups of codes that are scanned as one.",
                        (double)segment->groups);
    metrics_gauge_value(page, "sutra_segment_reencoded_vectors",
                        "Vectors that an installation of a codebook in progress has encoded.",
                        (double)index->reencoded);
    metrics_gauge_value(page, "sutra_segment_reencode_vectors",
                        "Vectors that it has to encode; 0: none is in progress.",
                        (double)index->reencode_total);
    metrics_gauge_family(page, "sutra_segment_kernel_info",
                         "1; the label says which scan kernel this processor runs.");
    metrics_sample(page, 1, "kernel", vector_kernel_name(), NULL);
}

static void collect_codebook(const struct shard *shard, const struct index_stats *index,
                             struct metrics_page *page)
{
    const struct codebook_info *info = &index->codebook;
    struct calibration calibration = index_calibration(shard->index, info->version);
    const struct calibration_setting *standard =
        calibration_choose(&calibration, DEFAULT_RECALL_TARGET);

    metrics_gauge_value(page, "sutra_codebook_version",
                        "Of the codebook that is searched with; 0: none, searches are exact.",
                        (double)info->version);
    metrics_gauge_value(page, "sutra_codebook_trained_vectors", "Vectors it was trained on.",
                        (double)info->trained_on);
    metrics_gauge_value(page, "sutra_codebook_cells", "Coarse cells; 0: a search scans all.",
                        info->cells);
    metrics_gauge_value(page, "sutra_codebook_quantization_error",
                        "Mean squared distance between a held-out unit vector and what its code "
                        "stands for.",
                        info->mean_squared_error);
    metrics_gauge_value(
        page, "sutra_codebook_drift_ratio",
        "The same of the vectors written since, by that of the training; 0: too few "
        "were written.",
        index->drift);
    metrics_gauge_value(page, "sutra_codebook_expected_recall_ratio",
                        "recall@10 that a search with the default target expects, as calibrated; "
                        "0: not calibrated.",
                        standard == NULL ? 0 : standard->recall);
    metrics_gauge_value(page, "sutra_codebook_calibration_queries",
                        "Held-out vectors that this was measured with; 0: it was not.",
                        calibration.queries);
}

static void collect_training(const struct shard *shard, struct metrics_page *page)
{
    static const char *const stages[] = { "none", "sampling", "training", "reencoding",
                                          "calibrating" };
    Sutra__V1__TrainingStats training;

    trainer_progress(shard->trainer, &training);
    metrics_gauge_family(page, "sutra_training_stage",
                         "1 at what is being done about the codebook; by the owner of slot 0.");
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        metrics_sample(page, training.stage == i, "stage", stages[i], NULL);
    metrics_gauge_value(page, "sutra_training_progress_ratio", "How far that stage is.",
                        training.fraction);
}

void shard_collect(void *ctx, struct metrics_page *page)
{
    struct shard *shard = ctx;
    struct index_stats index = index_stats(shard->index);

    metrics_gauge_value(page, "sutra_shard_number", "Which shard of the topology this is.",
                        shard->options.index);
    collect_queues(shard, page);
    store_collect(shard->store, page);
    collect_segment(shard, &index, page);
    collect_codebook(shard, &index, page);
    collect_training(shard, page);
}
