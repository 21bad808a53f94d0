#ifndef SUTRA_TESTS_FUZZ_FUZZ_H
#define SUTRA_TESTS_FUZZ_FUZZ_H

/**
 * One function per decoder of foreign bytes. Each takes any bytes, aborts where a promise of the
 * decoder's header is broken, and leaves the rest to the sanitizers. They return 0: the form of
 * libFuzzer's LLVMFuzzerTestOneInput (llvm.org/docs/LibFuzzer.html).
 *
 * One thread. What a function opens once it keeps until the process ends.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"

typedef int fuzz_fn(const uint8_t *data, size_t size);

/* The first byte chooses the type of the message, see fuzz_requests.c; then as a handler would. */
fuzz_fn fuzz_request;

/* Also with the checksums put right, or no mutation would pass them. */
fuzz_fn fuzz_codebook, fuzz_calibration, fuzz_segment;

fuzz_fn fuzz_batch_get;  /* batch_get_read() */
fuzz_fn fuzz_candidates; /* candidate_columns_open(), candidate_columns_next() */
fuzz_fn fuzz_columns;    /* concept_columns_put() */
fuzz_fn fuzz_concept;    /* concept_wire_decode() */
fuzz_fn fuzz_distance;   /* distance_read() */
fuzz_fn fuzz_topology;   /* topology_parse() */
fuzz_fn fuzz_config;     /* the file of --config */
fuzz_fn fuzz_tokens;     /* the file of --tokens */
fuzz_fn fuzz_vocabulary; /* vocab.txt */
fuzz_fn fuzz_text;       /* tokenizer_encode() */
fuzz_fn fuzz_wire;       /* wire_next(), wire_find() */
fuzz_fn fuzz_write;      /* write_request_read(), write_put_item() */

/** Seeds that are made rather than kept: appends the @n-th input for the function of that name;
 * false behind the last. */
typedef bool fuzz_seed_fn(size_t n, struct buf *ret);

fuzz_seed_fn fuzz_request_seed, fuzz_codebook_seed, fuzz_calibration_seed, fuzz_segment_seed;
fuzz_seed_fn fuzz_concept_seed, fuzz_wire_seed, fuzz_batch_get_seed, fuzz_distance_seed;
fuzz_seed_fn fuzz_candidates_seed, fuzz_columns_seed, fuzz_write_seed;

/** Aborts with @what, which names a broken promise. */
void fuzz_require(bool holds, const char *what);

/** The path of a file in memory with these bytes, until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);

#endif
