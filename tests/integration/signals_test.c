/**
 * SIGTERM and SIGINT: whichever thread takes them, and however early, a server ends in order.
 */

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/fixture.h"

enum { STARTS = 20 };

static struct test_fixture f;

static void start(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 1, .router = true });
}

static void stop(void)
{
    test_fixture_stop(&f);
}

static bool blocks(pid_t pid, long thread, int number)
{
    char path[64];
    char line[128];
    unsigned long long mask = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/task/%ld/status", (int)pid, thread);
    file = fopen(path, "r");
    if (file == NULL)
        return true; /* it has ended */
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "SigBlk: %llx", &mask) == 1)
            break;
    fclose(file);
    return mask >> (number - 1) & 1;
}

/* A thread that takes @number: another one than the first if there is such. */
static long find_taker(pid_t pid, int number)
{
    long taker = pid;
    char path[64];
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    cr_assert_not_null(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        long thread = strtol(entry->d_name, NULL, 10);
        if (thread != 0 && thread != pid && !blocks(pid, thread, number))
            taker = thread;
    }
    closedir(tasks);
    return taker;
}

static void end_by_any_thread(struct test_process *process, int number)
{
    long taker = find_taker(process->pid, number);

    cr_assert_eq(syscall(SYS_tgkill, process->pid, taker, number), 0);
    cr_expect_eq(test_process_wait(process), 0, "taken by thread %ld", taker);
}

Test(signals, any_thread_may_take_the_signal_that_ends_a_server, .init = start, .fini = stop,
     .timeout = 120)
{
    end_by_any_thread(&f.cluster.router, SIGTERM);
    end_by_any_thread(&f.cluster.shards[0], SIGINT);
}

Test(signals, a_server_may_be_ended_as_soon_as_it_is_ready, .init = start, .fini = stop,
     .timeout = 120)
{
    char socket[TEST_ADDRESS_SIZE];
    struct test_process router;

    snprintf(socket, sizeof socket, "unix:%s/other", f.cluster.folder);
    for (size_t i = 0; i < STARTS; i++) {
        test_process_start(&router,
                           (const char *const[]){ "router/sutra-router", "--listen", socket,
                                                  "--shards", f.cluster.shards[0].address, NULL });
        cr_expect_eq(test_process_stop(&router), 0);
    }
}
