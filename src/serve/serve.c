#define _GNU_SOURCE /* program_invocation_short_name */
#include "src/serve/serve.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/version.h"
#include "src/log/log.h"
#include "src/rpc/reflection.h"
#include "src/serve/audit.h"
#include "src/serve/limits.h"
#include "src/serve/notify.h"

/* The first signal, from whichever thread took it: libraries have threads that began before main()
 * and block nothing, so that a mask would not keep the default effect away. */
static sem_t signalled;
static volatile sig_atomic_t first_signal;

static void set_action(void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* From here on the next signal has its default effect. */
static void on_signal(int number)
{
    first_signal = number;
    set_action(SIG_DFL);
    sem_post(&signalled);
}

static void expect_signal(void)
{
    sem_init(&signalled, 0, 0);
    set_action(on_signal);
    signal(SIGPIPE, SIG_IGN);
}

static enum status_code set_log_format(const struct serve_options *options, struct status *st)
{
    enum log_format format;

    if (!log_format_parse(options->log_format, &format))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--log-format is '%s'; logfmt and json are known", options->log_format);
    log_set_format(format);
    return STATUS_OK;
}

static struct call_log *call_log_new(void)
{
    struct call_log *log = malloc(sizeof *log);

    if (log != NULL)
        call_log_init(log);
    return log;
}

static void collect_build(void *ctx, struct metrics_page *page)
{
    (void)ctx;
    metrics_gauge_family(page, "sutra_build_info", "1; the labels say what this program is.");
    metrics_sample(page, 1, "program", program_invocation_short_name, "version", SUTRA_VERSION,
                   "compiler", __VERSION__, "grpc_core", rpc_library_version(), NULL);
}

/* What every server has to tell. */
static void add_metrics(struct serve *serve)
{
    metrics_add(&serve->metrics, collect_build, NULL);
    metrics_add(&serve->metrics, metrics_collect_process, NULL);
    metrics_add(&serve->metrics, rpc_server_collect, serve->server);
    metrics_add(&serve->metrics, rpc_loop_collect, serve->loop);
    metrics_add(&serve->metrics, call_log_collect, serve->call_log);
}

static enum status_code open_security(struct serve *serve, struct status *st)
{
    serve->security = calloc(1, sizeof *serve->security);
    if (serve->security == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (serve_security_open(serve->options, serve->security, st) == STATUS_OK)
        serve->peers = serve_security_peers(serve->options, serve->security);
    serve->peers.max_message_bytes = (size_t)serve->options->max_message_mb << 20;
    return st->code;
}

static enum status_code open_server(struct serve *serve, struct status *st)
{
    const struct serve_options *options = serve->options;
    const struct rpc_server_options server_options = {
        .max_message_bytes = (size_t)options->max_message_mb << 20,
        .max_calls = LIMIT_CALLS,
        .max_streams = options->max_streams,
        .max_connection_age_ms = (int64_t)options->max_connection_age_ms,
        .max_connection_age_grace_ms = (int64_t)options->max_connection_age_grace_ms,
        .keepalive_ms = (int64_t)options->keepalive_ms,
        .keepalive_timeout_ms = (int64_t)options->keepalive_timeout_ms,
        .arena_limit_bytes = LIMIT_CALL_ARENA_BYTES,
        .slow_us = (int64_t)options->slow_ms * 1000,
        .on_finished = call_log_finished,
        .on_finished_ctx = serve->call_log,
        .tls = serve->security->tls,
        .tokens = serve->security->tokens,
    };

    return rpc_server_new(serve->loop, &server_options, &serve->server, st);
}

static enum role role_of(bool open)
{
    return open ? ROLE_ANYONE : ROLE_READER;
}

enum status_code serve_open(const struct serve_options *options, struct serve *ret,
                            struct status *st)
{
    struct serve serve = { .options = options,
                           .call_log = call_log_new(),
                           .lock = PTHREAD_MUTEX_INITIALIZER };

    rpc_init();
    rpc_set_log(audit_grpc);
    if (set_log_format(options, st) != STATUS_OK)
        goto out;
    serve.health = rpc_health_new();
    if (serve.health == NULL || serve.call_log == NULL) {
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        goto out;
    }
    if (open_security(&serve, st) != STATUS_OK || rpc_loop_start(&serve.loop, st) != STATUS_OK ||
        open_server(&serve, st) != STATUS_OK)
        goto out;
    rpc_health_register(serve.health, serve.server, role_of(options->health_open));
    rpc_reflection_register(serve.server, role_of(options->reflection_open));
    add_metrics(&serve);
    *ret = serve;
    return STATUS_OK;
out:
    serve_close(&serve);
    return st->code;
}

static enum rpc_serving serving_if(bool yes)
{
    return yes ? RPC_SERVING : RPC_NOT_SERVING;
}

static bool in_service(const struct serve *serve, size_t index, const char *name)
{
    return rpc_server_service_is_open(serve->server, index) &&
           (serve->out_of_service == NULL || strcmp(serve->out_of_service, name) != 0);
}

static void tell_readiness(struct serve *serve)
{
    rpc_health_set(serve->health, "", serving_if(serve->ready));
    rpc_health_set(serve->health, "readiness", serving_if(serve->ready && !serve->out_of_reach));
}

/* Every service that the server offers, and the process itself. */
static void tell_health(struct serve *serve)
{
    const char *name;

    for (size_t i = 0; (name = rpc_server_service_name(serve->server, i)) != NULL; i++)
        rpc_health_set(serve->health, name, serving_if(in_service(serve, i, name)));
    pthread_mutex_lock(&serve->lock);
    tell_readiness(serve);
    pthread_mutex_unlock(&serve->lock);
}

static void set_ready(struct serve *serve)
{
    pthread_mutex_lock(&serve->lock);
    serve->ready = true;
    pthread_mutex_unlock(&serve->lock);
    tell_health(serve);
}

void serve_set_reach(struct serve *serve, bool within_reach)
{
    pthread_mutex_lock(&serve->lock);
    serve->out_of_reach = !within_reach;
    tell_readiness(serve);
    pthread_mutex_unlock(&serve->lock);
}

static void print_ready(const char *program, const char *address, int port)
{
    const char *colon = strrchr(address, ':');

    if (strncmp(address, "unix:", 5) == 0 || colon == NULL)
        printf("%s ready on %s\n", program, address);
    else
        printf("%s ready on %.*s:%d\n", program, (int)(colon - address), address, port);
    fflush(stdout);
}

static enum status_code serve_metrics(struct serve *serve, struct status *st)
{
    const char *address = serve->options->metrics_listen;

    if (address[0] == '\0')
        return STATUS_OK;
    if (metrics_server_start(address, &serve->metrics, &serve->metrics_server, st) == STATUS_OK)
        log_line(LOG_INFO, "metrics_ready",
                 LOG_TEXT("address", metrics_server_address(serve->metrics_server)));
    return st->code;
}

enum status_code serve_listen(struct serve *serve, struct status *st)
{
    const char *address = serve->options->listen;

    if (rpc_server_listen(serve->server, address, &serve->port, st) != STATUS_OK)
        return st->code;
    rpc_health_set(serve->health, "liveness", RPC_SERVING);
    tell_health(serve);
    if (rpc_server_start(serve->server, st) != STATUS_OK)
        return st->code;
    return serve_metrics(serve, st);
}

static int wait_for_signal(void)
{
    while (sem_wait(&signalled) != 0)
        continue;
    return first_signal;
}

/* For those who look at health to find another server, while this one still serves. */
static void drain(const struct serve *serve)
{
    struct timespec left = { .tv_sec = (time_t)(serve->options->drain_ms / 1000),
                             .tv_nsec = (long)(serve->options->drain_ms % 1000 * 1000000) };

    while (nanosleep(&left, &left) != 0)
        continue;
}

enum status_code serve_run(struct serve *serve, const char *program, struct status *st)
{
    int number;

    set_ready(serve);
    print_ready(program, serve->options->listen, serve->port);
    notify_manager("READY=1");
    number = wait_for_signal();
    notify_manager("STOPPING=1");
    log_line(LOG_INFO, "stopping", LOG_TEXT("program", program), LOG_NUMBER("signal", number));
    rpc_health_retire(serve->health, "liveness");
    drain(serve);
    rpc_server_shutdown(serve->server, (int64_t)serve->options->grace_ms);
    audit_end();
    return st->code;
}

void serve_stop(struct serve *serve)
{
    metrics_server_stop(serve->metrics_server);
    serve->metrics_server = NULL;
    rpc_server_free(serve->server);
    serve->server = NULL;
}

void serve_close(struct serve *serve)
{
    serve_stop(serve);
    rpc_health_free(serve->health);
    rpc_loop_stop(serve->loop);
    if (serve->security != NULL)
        serve_security_close(serve->security);
    free(serve->security);
    free(serve->call_log);
    *serve = (struct serve){ 0 };
}

int serve_main(const struct serve_program *program, int argc, char **argv, void *process,
               void *config)
{
    enum config_outcome outcome;
    struct status st = { 0 };

    expect_signal();
    if (config_load(&program->options, argc, argv, config, &outcome, &st) == STATUS_OK &&
        outcome == CONFIG_RUN) {
        program->run(process, &st);
        program->close(process);
    }
    config_deinit(&program->options, config);
    if (st.code == STATUS_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s: %s\n", program->options.name, st.message);
    return EXIT_FAILURE;
}
