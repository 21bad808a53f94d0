#ifndef SUTRA_TESTS_SUPPORT_CLUSTER_H
#define SUTRA_TESTS_SUPPORT_CLUSTER_H

/**
 * A whole cluster of real processes for one test: shards, a router before them if wanted, all on
 * Unix sockets in a folder of its own.
 *
 * Every function fails the test (cr_assert) where it cannot do what it says. A process is ready
 * when its line on standard output says so; nothing waits for a fixed time. Children get SIGKILL
 * when the test's process ends for whatever reason, so none is left behind. Their standard error
 * is the test's. Programs are found below the test's working folder, which is its runfiles.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { TEST_CLUSTER_MAX_SHARDS = 8, TEST_CLUSTER_ARGS = 24, TEST_ADDRESS_SIZE = 128 };

struct test_cluster_options {
    unsigned shards; /* 1 to TEST_CLUSTER_MAX_SHARDS */
    bool model;      /* load the one that deploy/fetch-model brought; else there is none */
    bool router;     /* else the test talks to shard 0 */
    bool log;        /* standard error of all goes to <folder>/log instead of the test's */
    const char *shard_args[TEST_CLUSTER_ARGS];  /* further ones, NULL behind the last */
    const char *router_args[TEST_CLUSTER_ARGS]; /* the same */
};

/** One child process. */
struct test_process {
    pid_t pid;                       /* 0: not running */
    char address[TEST_ADDRESS_SIZE]; /* as its ready line has it */
};

struct test_cluster {
    struct test_cluster_options options;
    char folder[64]; /* data of shard i is in <folder>/data<i> */
    char topology[96];
    struct test_process shards[TEST_CLUSTER_MAX_SHARDS];
    struct test_process router;
};

/** Starts everything and returns when all are ready. */
void test_cluster_start(struct test_cluster *cluster, const struct test_cluster_options *options);

/** SIGTERM to every process; each must end with status 0. Removes the folder. `{0}` is fine, also
 * after a failure in the middle: meant for .fini. */
void test_cluster_stop(struct test_cluster *cluster);

/** Where a client calls: the router, else shard 0. */
const char *test_cluster_address(const struct test_cluster *cluster);

/** SIGKILL; returns when the process is gone. */
void test_cluster_kill_shard(struct test_cluster *cluster, unsigned shard);

/** SIGTERM; the process must end with status 0. */
void test_cluster_stop_shard(struct test_cluster *cluster, unsigned shard);

/** Starts a shard that was killed or stopped, on its old data and address. */
void test_cluster_start_shard(struct test_cluster *cluster, unsigned shard);

/** Replaces the topology file atomically. @json is its new text. */
void test_cluster_write_topology(struct test_cluster *cluster, const char *json);

/** Starts @argv[0] (a path below the working folder; NULL ends the list) and waits for its ready
 * line. */
void test_process_start(struct test_process *process, const char *const *argv);

/** The same with its standard error appended to a file. */
void test_process_start_logged(struct test_process *process, const char *const *argv,
                               const char *log);

/** Removes a folder with all that is in it. */
void test_remove_folder(const char *folder);

/** A file's bytes with a NUL behind them, to be freed. */
char *test_read_file(const char *path);

/** SIGTERM, and the exit status; -1 for a process that a signal ended. */
int test_process_stop(struct test_process *process);

/** Starts @argv[0] and does not wait for anything. Both its outputs are the test's standard error.
 */
void test_process_spawn(struct test_process *process, const char *const *argv);

/** Waits for the end: the exit status; -1 for a process that a signal ended. */
int test_process_wait(struct test_process *process);

/** What a program prints on both outputs, and its exit status (-1: ended by a signal). */
struct test_output {
    int status;
    char text[64 * 1024]; /* NUL-terminated, cut */
};

/** Runs @argv to its end. */
void test_run(const char *const *argv, struct test_output *ret_output);

#endif
