/*
 * Writes vectors that are like embeddings in what matters to an index, as many as are wanted: raw
 * float32, [rows][384], unit length, the same for every number of threads.
 *
 *   synthetic ROWS OUTPUT [THREADS]     e.g. 1001000 .cache/bench/synthetic.f32 2
 *
 * Topics hold clusters, clusters hold rows; sizes of clusters fall as a power law, their widths
 * vary, and the variance of direction i falls as i^-0.9. At last everything is rotated, so that no
 * coordinate is special.
 */

#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/parallel.h"

enum { D = 384, TOPICS = 200, CLUSTERS = 8000, BLOCK = 1024 };
enum { HADAMARD = 128, ROUNDS = 3 }; /* D is 3 * 128 */

/* How much of a row is its topic, its cluster, its own. */
static const float TOPIC_SHARE = 0.45f, CLUSTER_SHARE = 0.75f, OWN_SHARE = 0.85f;

struct random {
    uint64_t state;
};

struct job {
    size_t n;
    int file;
    float spectrum[D];
    float signs[ROUNDS][D];
    float *centres;     /* [CLUSTERS][D] */
    float *widths;      /* [CLUSTERS] */
    double *cumulative; /* [CLUSTERS], of the probabilities; ends at 1 */
    atomic_size_t next;
    atomic_size_t done;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count, size);

    if (p == NULL)
        fail("synthetic");
    return p;
}

/* Vigna's splitmix64: streams of neighbouring seeds have nothing in common. */
static uint64_t next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct random stream(uint64_t kind, uint64_t number)
{
    struct random random = { kind << 56 | number };

    random.state = next(&random);
    return random;
}

/* Within (0, 1). */
static double uniform(struct random *random)
{
    return ((double)(next(random) >> 11) + 0.5) / 9007199254740992.0;
}

/* Adds @scale times normal values with the spectrum; Box and Muller's two of each draw. */
static void add_normal(const struct job *job, struct random *random, float scale, float *v)
{
    for (size_t i = 0; i < D; i += 2) {
        uint64_t bits = next(random);
        float radius = sqrtf(-2 * logf(((float)(bits >> 40) + 0.5f) * 0x1p-24f));
        float angle = 6.2831853f * ((float)(bits & 0xffffff) * 0x1p-24f);
        v[i] += scale * job->spectrum[i] * radius * cosf(angle);
        v[i + 1] += scale * job->spectrum[i + 1] * radius * sinf(angle);
    }
}

static void make_centres(struct job *job)
{
    double total = 0;

    for (size_t c = 0; c < CLUSTERS; c++) {
        struct random own = stream(1, c);
        struct random topic = stream(2, next(&own) % TOPICS);
        add_normal(job, &topic, TOPIC_SHARE, job->centres + c * D);
        add_normal(job, &own, CLUSTER_SHARE, job->centres + c * D);
        job->widths[c] = OWN_SHARE * (float)exp2(uniform(&own) - 0.5);
        job->cumulative[c] = total += pow((double)c + 10, -0.8);
    }
    for (size_t c = 0; c < CLUSTERS; c++)
        job->cumulative[c] /= total;
}

static void make_shapes(struct job *job)
{
    struct random random = stream(3, 0);

    for (size_t i = 0; i < D; i++)
        job->spectrum[i] = powf((float)(i + 1), -0.45f);
    for (size_t i = 0; i < (size_t)ROUNDS * D; i++)
        job->signs[i / D][i % D] = next(&random) >> 63 ? 1.0f : -1.0f;
}

static size_t pick_cluster(const struct job *job, double at)
{
    size_t low = 0;
    size_t high = CLUSTERS - 1;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (job->cumulative[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void hadamard(float *v)
{
    for (size_t step = 1; step < HADAMARD; step *= 2)
        for (size_t i = 0; i < HADAMARD; i += 2 * step)
            for (size_t j = i; j < i + step; j++) {
                float a = v[j];
                float b = v[j + step];
                v[j] = a + b;
                v[j + step] = a - b;
            }
}

/* Signs, Hadamard's matrix on each third, and a shuffle between the thirds, three times; not to
 * scale. */
static void rotate(const struct job *job, float *v)
{
    float from[D];

    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < D; i++)
            from[i] = v[i] * job->signs[round][i];
        for (size_t i = 0; i < D; i += HADAMARD)
            hadamard(from + i);
        for (size_t i = 0; i < D; i++)
            v[i] = from[i % 3 * HADAMARD + i / 3];
    }
}

static void normalise(float *v)
{
    float sum = 0;

    for (size_t i = 0; i < D; i++)
        sum += v[i] * v[i];
    for (size_t i = 0; i < D; i++)
        v[i] /= sqrtf(sum);
}

static void make_row(const struct job *job, size_t number, float *row)
{
    struct random random = stream(4, number);
    size_t cluster = pick_cluster(job, uniform(&random));

    for (size_t i = 0; i < D; i++)
        row[i] = job->centres[cluster * D + i];
    add_normal(job, &random, job->widths[cluster], row);
    rotate(job, row);
    normalise(row);
}

static void *make_blocks(void *context)
{
    struct job *job = context;
    float *rows = allocate(BLOCK * D, sizeof *rows);
    size_t start;

    while ((start = atomic_fetch_add(&job->next, BLOCK)) < job->n) {
        size_t count = job->n - start < BLOCK ? job->n - start : BLOCK;
        size_t bytes = count * D * sizeof *rows;
        for (size_t i = 0; i < count; i++)
            make_row(job, start + i, rows + i * D);
        if (pwrite(job->file, rows, bytes, (off_t)(start * D * sizeof *rows)) != (ssize_t)bytes)
            fail("synthetic: write");
        atomic_fetch_add(&job->done, count);
    }
    free(rows);
    return NULL;
}

int main(int argc, char **argv)
{
    size_t threads = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    struct job job = {
        .n = argc > 1 ? strtoul(argv[1], NULL, 10) : 0,
        .centres = allocate((size_t)CLUSTERS * D, sizeof(float)),
        .widths = allocate(CLUSTERS, sizeof(float)),
        .cumulative = allocate(CLUSTERS, sizeof(double)),
    };

    if (argc < 3 || job.n < 1 || threads < 1 || threads > PARALLEL_MAX_THREADS) {
        fprintf(stderr, "usage: synthetic ROWS OUTPUT [THREADS]\n");
        return 2;
    }
    job.file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (job.file < 0)
        fail(argv[2]);
    make_shapes(&job);
    make_centres(&job);
    parallel_run(make_blocks, &job, threads, &job.done, job.n);
    if (close(job.file) != 0)
        fail(argv[2]);
    free(job.centres);
    free(job.widths);
    free(job.cumulative);
    return 0;
}
