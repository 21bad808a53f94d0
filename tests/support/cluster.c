#define _GNU_SOURCE /* pipe2 */
#include "tests/support/cluster.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"

static const char SHARD[] = "shard/sutra-shard";
static const char ROUTER[] = "router/sutra-router";
/* A bound for broken programs, generous because sanitizers and a busy machine are slow. */
static const int64_t READY_TIMEOUT_US = 60 * 1000000LL;

enum { ARGV_MAX = 64 };

struct arguments {
    const char *argv[ARGV_MAX];
    int count;
};

static void add(struct arguments *arguments, const char *value)
{
    cr_assert_lt(arguments->count, ARGV_MAX - 1);
    arguments->argv[arguments->count++] = value;
}

static void add_all(struct arguments *arguments, const char *const *values)
{
    for (; *values != NULL; values++)
        add(arguments, *values);
}

/* Between fork() and exec(): only what is allowed there. */
static void become(const char *const *argv, int output, int error)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

enum { ERRORS_TO_OUTPUT = -1 };

/* Returns the child; the read end of its standard output is in *ret_output. */
static pid_t spawn(const char *const *argv, int error, int *ret_output)
{
    int ends[2];
    pid_t pid;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    cr_assert_geq(pid, 0, "fork: %s", strerror(errno));
    if (pid == 0)
        become(argv, ends[1], error == ERRORS_TO_OUTPUT ? ends[1] : error);
    close(ends[1]);
    *ret_output = ends[0];
    return pid;
}

static bool readable_before(int fd, int64_t deadline_us)
{
    struct pollfd wanted = { .fd = fd, .events = POLLIN };
    int64_t left_us = deadline_us - clock_monotonic_us();

    return left_us > 0 && poll(&wanted, 1, (int)(left_us / 1000) + 1) == 1;
}

/* One line without its newline; false at the end of the stream or after the time is over. */
static bool read_line(int fd, char *line, size_t size)
{
    int64_t deadline_us = clock_monotonic_us() + READY_TIMEOUT_US;
    size_t length = 0;

    while (length < size - 1 && readable_before(fd, deadline_us)) {
        if (read(fd, line + length, 1) != 1)
            return false;
        if (line[length] == '\n') {
            line[length] = '\0';
            return true;
        }
        length++;
    }
    return false;
}

static void start_process(struct test_process *process, const char *const *argv, int error)
{
    const char *name = strrchr(argv[0], '/') + 1;
    char line[TEST_ADDRESS_SIZE + 64];
    char expected[64];
    int output;

    process->pid = spawn(argv, error, &output);
    cr_assert(read_line(output, line, sizeof line), "%s did not become ready", name);
    close(output);
    snprintf(expected, sizeof expected, "%s ready on ", name);
    cr_assert_eq(strncmp(line, expected, strlen(expected)), 0, "%s said: %s", name, line);
    snprintf(process->address, sizeof process->address, "%s", line + strlen(expected));
}

void test_process_start(struct test_process *process, const char *const *argv)
{
    start_process(process, argv, STDERR_FILENO);
}

void test_process_start_logged(struct test_process *process, const char *const *argv,
                               const char *log)
{
    int error = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    cr_assert_geq(error, 0, "open %s: %s", log, strerror(errno));
    start_process(process, argv, error);
    close(error);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void test_remove_folder(const char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

char *test_read_file(const char *path)
{
    char *text = NULL;
    size_t size;
    FILE *copy = open_memstream(&text, &size);
    FILE *file = fopen(path, "r");
    int c;

    cr_assert_not_null(file, "open %s: %s", path, strerror(errno));
    while ((c = getc(file)) != EOF)
        putc(c, copy);
    fclose(file);
    fclose(copy);
    return text;
}

void test_process_spawn(struct test_process *process, const char *const *argv)
{
    process->pid = fork();
    cr_assert_geq(process->pid, 0, "fork: %s", strerror(errno));
    if (process->pid == 0)
        become(argv, STDERR_FILENO, STDERR_FILENO);
}

int test_process_wait(struct test_process *process)
{
    int status;

    while (waitpid(process->pid, &status, 0) < 0)
        cr_assert_eq(errno, EINTR, "wait: %s", strerror(errno));
    process->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int test_process_stop(struct test_process *process)
{
    kill(process->pid, SIGTERM);
    return test_process_wait(process);
}

void test_run(const char *const *argv, struct test_output *ret_output)
{
    struct test_process process = { 0 };
    size_t length = 0;
    ssize_t got;
    int output;

    process.pid = spawn(argv, ERRORS_TO_OUTPUT, &output);
    while ((got = read(output, ret_output->text + length, sizeof ret_output->text - 1 - length)) >
           0)
        length += (size_t)got;
    ret_output->text[length] = '\0';
    close(output);
    ret_output->status = test_process_wait(&process);
}

/* A folder that does not exist, unless the test wants the model. */
static void add_model(struct arguments *arguments, const struct test_cluster *cluster,
                      char *no_model, size_t size)
{
    if (cluster->options.model)
        return;
    snprintf(no_model, size, "%s/no-model", cluster->folder);
    add(arguments, "--model");
    add(arguments, no_model);
}

static void start_member(const struct test_cluster *cluster, struct test_process *process,
                         const struct arguments *arguments)
{
    char log[96];

    snprintf(log, sizeof log, "%s/log", cluster->folder);
    if (cluster->options.log)
        test_process_start_logged(process, arguments->argv, log);
    else
        test_process_start(process, arguments->argv);
}

static void start_shard(struct test_cluster *cluster, unsigned shard)
{
    char data[96];
    char listen[TEST_ADDRESS_SIZE];
    char number[16];
    char no_model[96];
    struct arguments arguments = { 0 };

    snprintf(data, sizeof data, "%s/data%u", cluster->folder, shard);
    snprintf(listen, sizeof listen, "unix:%s/shard%u", cluster->folder, shard);
    snprintf(number, sizeof number, "%u", shard);
    add_all(&arguments,
            (const char *const[]){ SHARD, "--data", data, "--listen", listen, "--topology",
                                   cluster->topology, "--shard", number, NULL });
    add_model(&arguments, cluster, no_model, sizeof no_model);
    add_all(&arguments, cluster->options.shard_args);
    start_member(cluster, &cluster->shards[shard], &arguments);
}

static void start_router(struct test_cluster *cluster)
{
    char listen[TEST_ADDRESS_SIZE];
    char no_model[96];
    struct arguments arguments = { 0 };

    snprintf(listen, sizeof listen, "unix:%s/router", cluster->folder);
    add_all(&arguments, (const char *const[]){ ROUTER, "--listen", listen, "--topology",
                                               cluster->topology, NULL });
    add_model(&arguments, cluster, no_model, sizeof no_model);
    add_all(&arguments, cluster->options.router_args);
    start_member(cluster, &cluster->router, &arguments);
}

void test_cluster_write_topology(struct test_cluster *cluster, const char *json)
{
    char next[128];
    FILE *file;

    snprintf(next, sizeof next, "%s.next", cluster->topology);
    file = fopen(next, "w");
    cr_assert_not_null(file);
    fputs(json, file);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(rename(next, cluster->topology), 0);
}

static void write_first_topology(struct test_cluster *cluster)
{
    char json[2048];
    int length = snprintf(json, sizeof json, "{\"epoch\": 1, \"shards\": [");

    for (unsigned i = 0; i < cluster->options.shards; i++)
        length +=
            snprintf(json + length, sizeof json - (size_t)length,
                     "%s{\"address\": \"unix:%s/shard%u\"}", i > 0 ? ", " : "", cluster->folder, i);
    snprintf(json + length, sizeof json - (size_t)length, "]}");
    test_cluster_write_topology(cluster, json);
}

void test_cluster_start(struct test_cluster *cluster, const struct test_cluster_options *options)
{
    *cluster = (struct test_cluster){ .options = *options, .folder = "/tmp/sutra-test-XXXXXX" };
    cr_assert_leq(options->shards, TEST_CLUSTER_MAX_SHARDS);
    cr_assert_not_null(mkdtemp(cluster->folder));
    snprintf(cluster->topology, sizeof cluster->topology, "%s/topology.json", cluster->folder);
    write_first_topology(cluster);
    for (unsigned i = 0; i < options->shards; i++)
        start_shard(cluster, i);
    if (options->router)
        start_router(cluster);
}

void test_cluster_stop(struct test_cluster *cluster)
{
    if (cluster->folder[0] == '\0')
        return;
    if (cluster->router.pid != 0)
        cr_expect_eq(test_process_stop(&cluster->router), 0, "the router ends orderly");
    for (unsigned i = 0; i < cluster->options.shards; i++)
        if (cluster->shards[i].pid != 0)
            cr_expect_eq(test_process_stop(&cluster->shards[i]), 0, "shard %u ends orderly", i);
    test_remove_folder(cluster->folder);
    cluster->folder[0] = '\0';
}

const char *test_cluster_address(const struct test_cluster *cluster)
{
    return cluster->options.router ? cluster->router.address : cluster->shards[0].address;
}

void test_cluster_kill_shard(struct test_cluster *cluster, unsigned shard)
{
    kill(cluster->shards[shard].pid, SIGKILL);
    test_process_wait(&cluster->shards[shard]);
}

void test_cluster_stop_shard(struct test_cluster *cluster, unsigned shard)
{
    cr_assert_eq(test_process_stop(&cluster->shards[shard]), 0, "shard %u ends orderly", shard);
}

void test_cluster_start_shard(struct test_cluster *cluster, unsigned shard)
{
    start_shard(cluster, shard);
}
