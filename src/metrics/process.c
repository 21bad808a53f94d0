#include "src/metrics/metrics.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Of /proc/self/stat, counted as proc(5) does. */
enum { STAT_UTIME = 14, STAT_STIME = 15, STAT_THREADS = 20, STAT_START = 22, STAT_VSIZE = 23 };
enum { STAT_RSS = 24, STAT_FIELDS = STAT_RSS + 1 };

/* The numbers behind the program's name, which may hold anything. */
static bool read_stat(unsigned long long fields[STAT_FIELDS])
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t length;
    char *at;

    if (file == NULL)
        return false;
    length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    at = strrchr(text, ')');
    if (at == NULL || strlen(at) < 4)
        return false;
    at += 4; /* ") S " */
    for (int i = 4; i < STAT_FIELDS; i++) {
        int used;
        if (sscanf(at, "%llu%n", &fields[i], &used) != 1)
            return false;
        at += used;
    }
    return true;
}

/* When the machine was started, in seconds since 1970. */
static double boot_time(void)
{
    struct timespec wall, since_boot;

    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return (double)(wall.tv_sec - since_boot.tv_sec) +
           (double)(wall.tv_nsec - since_boot.tv_nsec) * 1e-9;
}

static double count_open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = 0;

    if (directory == NULL)
        return 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* the directory itself */
}

static double most_open_files(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static void collect_stat(struct metrics_page *page, const unsigned long long *stat)
{
    const double ticks = (double)sysconf(_SC_CLK_TCK);

    metrics_counter_value(page, "process_cpu_seconds", "Processor time, user and system.",
                          (double)(stat[STAT_UTIME] + stat[STAT_STIME]) / ticks);
    metrics_gauge_value(page, "process_resident_memory_bytes", "Resident memory.",
                        (double)stat[STAT_RSS] * (double)sysconf(_SC_PAGESIZE));
    metrics_gauge_value(page, "process_virtual_memory_bytes", "Address space in use.",
                        (double)stat[STAT_VSIZE]);
    metrics_gauge_value(page, "process_threads", "Threads.", (double)stat[STAT_THREADS]);
    metrics_gauge_value(page, "process_start_time_seconds", "When the process began, since 1970.",
                        boot_time() + (double)stat[STAT_START] / ticks);
}

void metrics_collect_process(void *ctx, struct metrics_page *page)
{
    unsigned long long stat[STAT_FIELDS];

    (void)ctx;
    if (read_stat(stat))
        collect_stat(page, stat);
    metrics_gauge_value(page, "process_open_fds", "Open files and connections.",
                        count_open_files());
    metrics_gauge_value(page, "process_max_fds", "How many files it may open.", most_open_files());
}
