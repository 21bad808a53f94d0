/**
 * Who gets in, and who does not: certificates and tokens, against real processes. What a caller is
 * told, what the server's log says, and that neither says a secret.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/auth/role.h"
#include "src/base/clock.h"
#include "src/rpc/sync_client.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "tests/support/certificates.h"
#include "tests/support/fixture.h"

enum { PATH_SIZE = 128, ARGS = 24, TOKEN_SIZE = 128, ARENA_BYTES = 256 << 20, WAIT_US = 30000000 };

static const char SUTRA[] = "src/apps/cli/sutra";

/* A folder with certificates and tokens, and perhaps a server and a cluster. */
static struct {
    char folder[64];
    char log[PATH_SIZE];
    struct test_process server;
    struct test_process embedder;
    struct test_cluster cluster;
    struct test_output output;
    char tokens[3][TOKEN_SIZE]; /* by enum role */
} t = { .folder = "" };

/* "<folder>/<name>"; the last few stay valid. */
static const char *in_folder(const char *name)
{
    static char paths[256][PATH_SIZE];
    static size_t next;
    char *path = paths[next++ % 256];

    snprintf(path, PATH_SIZE, "%s/%s", t.folder, name);
    return path;
}

/* Any number of arguments in one array. */
struct command_line {
    const char *argv[2 * ARGS];
    size_t count;
};

static void add(struct command_line *line, const char *const *args)
{
    for (; *args != NULL; args++) {
        cr_assert_lt(line->count, 2 * ARGS - 1);
        line->argv[line->count++] = *args;
    }
}

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- Tokens ---- */

static void make_token(enum role role)
{
    char file[16];
    char *text;

    snprintf(file, sizeof file, "%s.token", role_name(role));
    test_run(ARGUMENTS(SUTRA, "token", role_name(role), role_name(role), "--secret",
                       in_folder(file), "--append", in_folder("tokens")),
             &t.output);
    cr_assert_eq(t.output.status, 0, "%s", t.output.text);
    text = test_read_file(in_folder(file));
    snprintf(t.tokens[role], TOKEN_SIZE, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
}

/* ---- Fixture ---- */

static void open_folder(void)
{
    snprintf(t.folder, sizeof t.folder, "/tmp/sutra-test-XXXXXX");
    cr_assert_not_null(mkdtemp(t.folder));
    snprintf(t.log, sizeof t.log, "%s/log", t.folder);
    for (enum role role = ROLE_ADMIN; role <= ROLE_READER; role++)
        make_token(role);
    test_certificates_make(in_folder("certs"), NULL);
}

static void close_folder(void)
{
    test_cluster_stop(&t.cluster);
    if (t.server.pid != 0)
        cr_expect_eq(test_process_stop(&t.server), 0, "the server ends orderly");
    if (t.embedder.pid != 0)
        cr_expect_eq(test_process_stop(&t.embedder), 0, "the embedder ends orderly");
    test_remove_folder(t.folder);
}

/* A shard alone, on a port of loopback unless @args say otherwise. */
static void add_server(struct command_line *line, const char *const *args)
{
    add(line, ARGUMENTS("shard/sutra-shard", "--listen", "127.0.0.1:0", "--data", in_folder("data"),
                        "--model", in_folder("no-model")));
    add(line, args);
}

static void start_server(const char *const *args)
{
    struct command_line line = { 0 };

    add_server(&line, args);
    test_process_start_logged(&t.server, line.argv, t.log);
}

/* The flags of a server with TLS. */
static const char *const *tls(void)
{
    static const char *flags[5] = { "--tls-cert", NULL, "--tls-key", NULL, NULL };

    flags[1] = in_folder("certs/server.pem");
    flags[3] = in_folder("certs/server.key");
    return flags;
}

static void start_tls_server(const char *const *args)
{
    struct command_line line = { 0 };

    add(&line, tls());
    add(&line, args);
    start_server(line.argv);
}

/* ---- Looking ---- */

/* `sutra <args> limits`, which any reader may ask: its output is in t.output. */
static int ask(const char *const *args)
{
    struct command_line line = { 0 };

    add(&line, ARGUMENTS(SUTRA, "--address", t.server.address));
    add(&line, args);
    add(&line, ARGUMENTS("limits"));
    test_run(line.argv, &t.output);
    return t.output.status;
}

static void expect_refused(const char *const *args, int status, const char *part)
{
    cr_expect_eq(ask(args), status, "status %d: %s", t.output.status, t.output.text);
    cr_expect_not_null(strstr(t.output.text, part), "'%s' does not say '%s'", t.output.text, part);
}

static void expect_answered(const char *const *args)
{
    cr_expect_eq(ask(args), 0, "%s", t.output.text);
    cr_expect_not_null(strstr(t.output.text, "max_id_bytes"), "%s", t.output.text);
}

/* Waits until one line of @log has all of @parts. */
static void expect_line(const char *log, const char *const *parts)
{
    static const struct timespec pause = { .tv_nsec = 20 * 1000000 };
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    char *text = NULL;

    do {
        free(text);
        text = test_read_file(log);
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            const char *const *part = parts;
            while (*part != NULL && strstr(line, *part) != NULL)
                part++;
            if (*part == NULL) {
                free(text);
                return;
            }
        }
        nanosleep(&pause, NULL); /* between two looks */
    } while (clock_monotonic_us() < until_us);
    free(text);
    text = test_read_file(log);
    cr_expect(false, "no line with '%s' in:\n%s", parts[0], text);
    free(text);
}

static void expect_no_secret(const char *text)
{
    for (enum role role = ROLE_ADMIN; role <= ROLE_READER; role++)
        cr_expect_null(strstr(text, t.tokens[role] + strlen("sutra_")), "a token in:\n%s", text);
    cr_expect_null(strstr(text, "PRIVATE KEY"), "a key in:\n%s", text);
    cr_expect_null(strstr(text, "hunter2"), "the wrong token in:\n%s", text);
}

static void expect_no_secret_in(const char *file)
{
    char *text = test_read_file(file);

    expect_no_secret(text);
    free(text);
}

/* ---- Starting ---- */

struct bad_start {
    const char *args[ARGS];
    const char *says;
};

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");

    cr_assert_not_null(file);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

Test(security, a_server_says_what_is_wrong_with_its_files, .init = open_folder,
     .fini = close_folder, .timeout = 120)
{
    const char *cert = in_folder("certs/server.pem");
    const char *key = in_folder("certs/server.key");
    const struct bad_start all[] = {
        { { "--tls-cert", "/nonexistent.pem", "--tls-key", key },
          "--tls-cert '/nonexistent.pem': open: No such file" },
        { { "--tls-cert", cert, "--tls-key", "/nonexistent.key" },
          "--tls-key '/nonexistent.key': open: No such file" },
        { { "--tls-cert", cert }, "--tls-key is missing" },
        { { "--tls-key", key }, "--tls-cert is missing" },
        { { "--tls-cert", "/tmp", "--tls-key", key }, "--tls-cert '/tmp': read: Is a directory" },
        { { "--tls-cert", key, "--tls-key", key }, "holds no certificate in PEM form" },
        { { "--tls-cert", cert, "--tls-key", cert }, "holds no private key in PEM form" },
        { { "--tls-cert", cert, "--tls-key", in_folder("certs/client.key") },
          "is not the key of --tls-cert" },
        { { "--tls-ca", in_folder("garbage") }, "garbage': holds no certificate in PEM form" },
        { { "--tls-ca", in_folder("broken") },
          "broken': is no certificate in PEM form behind the first 1" },
        { { "--tls-client-auth", "maybe" }, "--tls-client-auth takes none or require" },
        { { "--tls-client-auth", "require", "--tls-cert", cert, "--tls-key", key },
          "--tls-client-auth require needs" },
        { { "--tokens", "/nonexistent" }, "--tokens '/nonexistent': open: No such file" },
        { { "--tokens", in_folder("garbage") }, "garbage': line 1: it is not like" },
        { { "--peer-token", "/nonexistent" }, "--peer-token '/nonexistent': open: No such file" },
        { { "--peer-token", in_folder("garbage") }, "garbage': a token is one word" },
        { { "--listen", "0.0.0.0:0" }, "would take plaintext from other machines" },
        { { "--listen", "[::]:0" }, "would take plaintext from other machines" },
        { { "--listen", "127.0.0.1.example:0" }, "would take plaintext from other machines" },
        { { "--listen", "0.0.0.0:0", "--tokens", in_folder("tokens") },
          "would take plaintext from other machines" },
    };
    char *whole = test_read_file(cert);
    struct stat about;

    write_file("garbage", "hunter2 is no certificate\n");
    write_file("broken", whole);
    FILE *broken = fopen(in_folder("broken"), "a");
    fputs("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n", broken);
    fclose(broken);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct command_line line = { 0 };
        add_server(&line, all[i].args);
        test_run(line.argv, &t.output);
        cr_expect_eq(t.output.status, 1, "%zu: %s", i, t.output.text);
        cr_expect_not_null(strstr(t.output.text, all[i].says), "%s does not say: %s", t.output.text,
                           all[i].says);
        expect_no_secret(t.output.text);
    }
    cr_expect_neq(stat(in_folder("data"), &about), 0, "nothing was opened before that");
    free(whole);
}

Test(security, what_may_not_be_so_is_a_warning, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    test_certificates_expire(in_folder("certs"));
    cr_assert_eq(chmod(in_folder("certs/server.key"), 0644), 0);
    start_server(ARGUMENTS("--tls-cert", in_folder("certs/expired.pem"), "--tls-key",
                           in_folder("certs/server.key")));
    expect_line(t.log, ARGUMENTS("event=tls_files", "expired.pem' has expired"));
    expect_line(t.log, ARGUMENTS("event=tls_files", "server.key' can be read by every user"));
}

Test(security, plaintext_for_other_machines_is_for_those_who_ask_for_it, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    const char *port;
    char local[64];

    start_server(ARGUMENTS("--listen", "0.0.0.0:0", "--insecure"));
    port = strrchr(t.server.address, ':');
    snprintf(local, sizeof local, "127.0.0.1%s", port);
    snprintf(t.server.address, sizeof t.server.address, "%s", local);
    expect_answered(ARGUMENTS("--json"));
}

Test(security, what_is_in_force_is_printed_without_secrets, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    struct command_line line = { 0 };

    add_server(&line, tls());
    add(&line, ARGUMENTS("--tokens", in_folder("tokens"), "--peer-token", in_folder("admin.token"),
                         "--print-config"));
    test_run(line.argv, &t.output);
    cr_expect_eq(t.output.status, 0);
    cr_expect_not_null(strstr(t.output.text, "admin.token"), "%s", t.output.text);
    expect_no_secret(t.output.text);
}

/* ---- Certificates ---- */

Test(security, a_server_with_a_certificate_speaks_tls_only, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    const char *ca = in_folder("certs/ca.pem");

    start_tls_server(ARGUMENTS("--threads", "2"));
    expect_answered(ARGUMENTS("--tls-ca", ca));
    /* It need not be asked for a certificate to have one. */
    expect_answered(ARGUMENTS("--tls-ca", ca, "--tls-cert", in_folder("certs/client.pem"),
                              "--tls-key", in_folder("certs/client.key")));
    expect_refused(ARGUMENTS("--json"), 4, "the server may want TLS (--tls-ca) (UNAVAILABLE)");
    expect_line(t.log, ARGUMENTS("event=tls_handshake_failed", "wrong version number"));
}

Test(security, tls_to_a_server_without_it_is_refused, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    start_server(ARGUMENTS("--threads", "2"));
    expect_refused(ARGUMENTS("--tls-ca", in_folder("certs/ca.pem")), 4,
                   "the server does not speak TLS (UNAVAILABLE)");
}

Test(security, a_server_of_a_foreign_authority_is_not_believed, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    test_certificates_make(in_folder("foreign"), NULL);
    start_tls_server(ARGUMENTS("--tokens", in_folder("tokens")));
    expect_refused(ARGUMENTS("--tls-ca", in_folder("foreign/ca.pem"), "--token-file",
                             in_folder("admin.token")),
                   4, "certificate has expired, or is not from an authority in --tls-ca");
    expect_no_secret(t.output.text);
}

Test(security, an_expired_certificate_is_not_believed, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    test_certificates_expire(in_folder("certs"));
    start_server(ARGUMENTS("--tls-cert", in_folder("certs/expired.pem"), "--tls-key",
                           in_folder("certs/server.key")));
    expect_refused(ARGUMENTS("--tls-ca", in_folder("certs/ca.pem")), 4,
                   "certificate has expired, or is not from an authority in --tls-ca");
}

Test(security, a_certificate_must_be_for_the_host_that_is_called, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    const char *ca = in_folder("named/ca.pem");
    char local[TEST_ADDRESS_SIZE];

    /* 127.0.0.2 is this machine too, and in no certificate. */
    test_certificates_make(in_folder("named"), "shop.example");
    start_server(ARGUMENTS("--listen", "127.0.0.2:0", "--tls-cert", in_folder("named/server.pem"),
                           "--tls-key", in_folder("named/server.key")));
    expect_refused(ARGUMENTS("--tls-ca", ca), 4, "127.0.0.2 is not in peer certificate");
    expect_answered(ARGUMENTS("--tls-ca", ca, "--tls-server-name", "shop.example"));
    expect_refused(ARGUMENTS("--tls-ca", ca, "--tls-server-name", "other.example"), 4,
                   "other.example is not in peer certificate");
    cr_expect_eq(test_process_stop(&t.server), 0);
    start_server(ARGUMENTS("--listen", "127.0.0.1:0", "--tls-cert", in_folder("named/server.pem"),
                           "--tls-key", in_folder("named/server.key")));
    expect_answered(ARGUMENTS("--tls-ca", ca));
    snprintf(local, sizeof local, "localhost%s", strrchr(t.server.address, ':'));
    snprintf(t.server.address, sizeof t.server.address, "%s", local);
    expect_answered(ARGUMENTS("--tls-ca", ca));
}

Test(security, a_server_may_want_certificates_of_clients, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    const char *ca = in_folder("certs/ca.pem");

    test_certificates_make(in_folder("foreign"), NULL);
    start_tls_server(ARGUMENTS("--tls-ca", ca, "--tls-client-auth", "require"));
    expect_answered(ARGUMENTS("--tls-ca", ca, "--tls-cert", in_folder("certs/client.pem"),
                              "--tls-key", in_folder("certs/client.key")));
    expect_refused(ARGUMENTS("--tls-ca", ca), 4,
                   "the server may want a certificate (--tls-cert, --tls-key) (UNAVAILABLE)");
    expect_line(t.log, ARGUMENTS("event=tls_handshake_failed", "did not return a certificate"));
    expect_refused(ARGUMENTS("--tls-ca", ca, "--tls-cert", in_folder("foreign/client.pem"),
                             "--tls-key", in_folder("foreign/client.key")),
                   4, "the server may want a certificate (--tls-cert, --tls-key) (UNAVAILABLE)");
    expect_line(t.log, ARGUMENTS("event=tls_handshake_failed", "certificate verify failed"));
    test_certificates_expire(in_folder("certs"));
    expect_refused(ARGUMENTS("--tls-ca", ca, "--tls-cert", in_folder("certs/expired.pem"),
                             "--tls-key", in_folder("certs/server.key")),
                   4, "the server may want a certificate (--tls-cert, --tls-key) (UNAVAILABLE)");
    cr_expect_not_null(strstr(t.output.text, "expired.pem' has expired"), "%s", t.output.text);
    expect_no_secret_in(t.log);
}

Test(security, certificates_are_taken_when_they_are_replaced, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    const char *old_ca = in_folder("certs/ca.pem");
    const char *new_ca = in_folder("fresh/ca.pem");
    const char *cert = in_folder("certs/server.pem");

    test_certificates_make(in_folder("fresh"), NULL);
    start_tls_server(ARGUMENTS("--threads", "2"));
    expect_answered(ARGUMENTS("--tls-ca", old_ca));
    /* A certificate without its key: the last good pair stays. */
    cr_assert_eq(rename(in_folder("fresh/server.pem"), cert), 0);
    expect_answered(ARGUMENTS("--tls-ca", old_ca));
    expect_line(t.log, ARGUMENTS("event=tls_files", "keeping the certificates",
                                 "is not the key of --tls-cert"));
    cr_assert_eq(rename(in_folder("fresh/server.key"), in_folder("certs/server.key")), 0);
    expect_answered(ARGUMENTS("--tls-ca", new_ca));
    expect_refused(ARGUMENTS("--tls-ca", old_ca), 4, "is not from an authority in --tls-ca");
    /* None at all. */
    cr_assert_eq(remove(cert), 0);
    expect_answered(ARGUMENTS("--tls-ca", new_ca));
}

/* Writes into the file, which keeps the time of its last change. */
static void overwrite_unnoticed(const char *path, const char *text)
{
    struct stat before;
    int fd = open(path, O_WRONLY);

    cr_assert(fd >= 0);
    cr_assert_eq(fstat(fd, &before), 0);
    cr_assert_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    cr_assert_eq(futimens(fd, (struct timespec[]){ before.st_atim, before.st_mtim }), 0);
    close(fd);
}

/* As a file does that was installed unreadable, and is put right by chmod. */
Test(security, files_are_read_again_also_when_their_time_and_size_stay, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    const char *key = in_folder("certs/server.key");
    char *good;
    char *bad;

    test_certificates_make(in_folder("fresh"), NULL);
    good = test_read_file(in_folder("fresh/server.key"));
    bad = strdup(good);
    memset(bad, 'x', strlen(bad));
    overwrite_unnoticed(in_folder("fresh/server.key"), bad);
    start_tls_server(ARGUMENTS("--threads", "2"));
    cr_assert_eq(rename(in_folder("fresh/server.key"), key), 0);
    cr_assert_eq(rename(in_folder("fresh/server.pem"), in_folder("certs/server.pem")), 0);
    expect_answered(ARGUMENTS("--tls-ca", in_folder("certs/ca.pem")));
    expect_line(t.log, ARGUMENTS("event=tls_files", "keeping the certificates"));
    overwrite_unnoticed(key, good);
    expect_answered(ARGUMENTS("--tls-ca", in_folder("fresh/ca.pem")));
    free(good);
    free(bad);
}

/* ---- Tokens ---- */

Test(security, a_caller_without_a_token_is_told_so, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    expect_refused(ARGUMENTS("--json"), 3,
                   "/sutra.v1.AdminService/GetLimits needs a token of role reader: send "
                   "'authorization: Bearer TOKEN' (UNAUTHENTICATED, TOKEN_MISSING)");
    expect_line(t.log, ARGUMENTS("event=call_refused", "caller=\"\"", "peer=ipv4:127.0.0.1",
                                 "method=/sutra.v1.AdminService/GetLimits", "code=UNAUTHENTICATED",
                                 "reason=TOKEN_MISSING"));
    write_file("wrong", "hunter2\n");
    expect_refused(ARGUMENTS("--token-file", in_folder("wrong")), 3,
                   "this server does not know the one sent (UNAUTHENTICATED, TOKEN_UNKNOWN)");
    expect_line(t.log, ARGUMENTS("event=call_refused", "reason=TOKEN_UNKNOWN"));
    expect_answered(ARGUMENTS("--token-file", in_folder("reader.token")));
    setenv("SUTRA_TOKEN", t.tokens[ROLE_READER], 1);
    expect_answered(ARGUMENTS("--json"));
    setenv("SUTRA_TOKEN", "two words", 1);
    expect_refused(ARGUMENTS("--json"), 2, "$SUTRA_TOKEN: a token is one word");
    unsetenv("SUTRA_TOKEN");
    expect_no_secret_in(t.log);
}

Test(security, a_role_that_is_too_small_is_named, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    test_run(ARGUMENTS(SUTRA, "--address", t.server.address, "--token-file",
                       in_folder("writer.token"), "train"),
             &t.output);
    cr_expect_eq(t.output.status, 3);
    cr_expect_not_null(strstr(t.output.text, "/sutra.v1.AdminService/TrainCodebook needs role "
                                             "admin; the token of 'writer' has role writer "
                                             "(PERMISSION_DENIED, ROLE_TOO_SMALL)"),
                       "%s", t.output.text);
    expect_line(t.log,
                ARGUMENTS("event=call_refused", "caller=writer", "code=PERMISSION_DENIED",
                          "method=/sutra.v1.AdminService/TrainCodebook", "role_needed=admin"));
    test_run(ARGUMENTS(SUTRA, "--address", t.server.address, "--token-file",
                       in_folder("admin.token"), "train"),
             &t.output);
    expect_line(t.log, ARGUMENTS("event=admin_call", "caller=admin",
                                 "method=/sutra.v1.AdminService/TrainCodebook", "trace="));
    expect_no_secret_in(t.log);
}

/* What each method needs. One that is not here has nobody who has thought about it. */
static const struct {
    const char *method;
    enum role role;
} needs[] = {
    { "Learn", ROLE_WRITER },
    { "LearnBatch", ROLE_WRITER },
    { "Import", ROLE_WRITER },
    { "Put", ROLE_WRITER },
    { "Get", ROLE_READER },
    { "BatchGet", ROLE_READER },
    { "Delete", ROLE_WRITER },
    { "List", ROLE_READER },
    { "Associate", ROLE_WRITER },
    { "Dissociate", ROLE_WRITER },
    { "Neighbors", ROLE_READER },
    { "Search", ROLE_READER },
    { "BatchSearch", ROLE_READER },
    { "Distance", ROLE_READER },
    { "Reinforce", ROLE_WRITER },
    { "Stats", ROLE_READER },
    { "GetTopology", ROLE_READER },
    { "GetLimits", ROLE_READER },
    { "TrainCodebook", ROLE_ADMIN },
    { "Embed", ROLE_READER },
    { "Info", ROLE_READER },
    { "Write", ROLE_WRITER },
    { "ListPage", ROLE_READER },
    { "Candidates", ROLE_READER },
    { "Vectors", ROLE_READER },
    { "Train", ROLE_ADMIN },
    { "ApplyEdges", ROLE_WRITER },
    { "Sample", ROLE_ADMIN },
    { "InstallCodebook", ROLE_ADMIN },
    { "SwitchCodebook", ROLE_ADMIN },
    { "Calibrate", ROLE_ADMIN },
    { "CellSizes", ROLE_ADMIN },
};

static enum role role_of(const char *method)
{
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++)
        if (strcmp(needs[i].method, method) == 0)
            return needs[i].role;
    cr_assert(false, "say here which role %s needs", method);
    return ROLE_ADMIN;
}

/* One call with @authorization (NULL: none) and a message that is none. */
static enum status_code call_with(struct rpc_channel *channel, const char *service,
                                  const char *method, const char *authorization)
{
    const struct rpc_metadata_pair header = { "authorization", authorization };
    char path[128];
    struct rpc_result result;
    enum status_code code;

    snprintf(path, sizeof path, "/%s/%s", service, method);
    rpc_sync_call_result(channel,
                         &(struct rpc_request){ .path = path,
                                                .bytes = rpc_bytes_copy("\x07", 1),
                                                .metadata = &header,
                                                .metadata_count = authorization != NULL,
                                                .deadline_us = clock_monotonic_us() + 20000000 },
                         &result);
    code = result.status.code;
    rpc_result_deinit(&result);
    return code;
}

static void expect_roles(struct rpc_channel *channel, const char *service, const char *method)
{
    for (enum role held = ROLE_ADMIN; held <= ROLE_READER; held++) {
        char header[TOKEN_SIZE + 16];
        enum status_code code;
        snprintf(header, sizeof header, "Bearer %s", t.tokens[held]);
        code = call_with(channel, service, method, header);
        cr_expect_neq(code, STATUS_UNAUTHENTICATED, "%s %s", role_name(held), method);
        cr_expect_eq(code == STATUS_PERMISSION_DENIED, !role_allows(held, role_of(method)),
                     "%s as %s: %s", method, role_name(held), status_code_name(code));
    }
    cr_expect_eq(call_with(channel, service, method, NULL), STATUS_UNAUTHENTICATED, "%s", method);
    cr_expect_eq(call_with(channel, service, method, "Bearer hunter2"), STATUS_UNAUTHENTICATED);
}

static struct rpc_channel *open_channel(struct rpc_loop *loop)
{
    struct rpc_channel *channel = NULL;
    struct status st = { 0 };

    cr_assert_eq(rpc_channel_open(loop, t.server.address, NULL, &channel, &st), STATUS_OK);
    return channel;
}

Test(security, every_method_asks_for_its_role_before_it_looks_at_the_request, .init = open_folder,
     .fini = close_folder, .timeout = 120)
{
    static const ProtobufCServiceDescriptor *const services[] = {
        &sutra__v1__concept_service__descriptor,
        &sutra__v1__admin_service__descriptor,
        &sutra__v1__embedding_service__descriptor,
        &sutra__internal__v1__shard_service__descriptor,
    };
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct status st = { 0 };

    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    channel = open_channel(loop);
    for (size_t s = 0; s < sizeof services / sizeof services[0]; s++)
        for (unsigned m = 0; m < services[s]->n_methods; m++)
            expect_roles(channel, services[s]->name, services[s]->methods[m].name);
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    expect_no_secret_in(t.log);
}

Test(security, what_is_no_bearer_token_is_none, .init = open_folder, .fini = close_folder,
     .timeout = 60)
{
    static const char service[] = "sutra.v1.AdminService";
    char right[TOKEN_SIZE + 16];
    char wrong[TOKEN_SIZE + 16];
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct status st = { 0 };

    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    channel = open_channel(loop);
    snprintf(right, sizeof right, "bEARER %s", t.tokens[ROLE_ADMIN]);
    cr_expect_eq(call_with(channel, service, "GetLimits", right), STATUS_INVALID_ARGUMENT);
    snprintf(wrong, sizeof wrong, "Basic %s", t.tokens[ROLE_ADMIN]);
    cr_expect_eq(call_with(channel, service, "GetLimits", wrong), STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, service, "GetLimits", t.tokens[ROLE_ADMIN]),
                 STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, service, "GetLimits", "Bearer "), STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, service, "GetLimits", ""), STATUS_UNAUTHENTICATED);
    expect_line(t.log, ARGUMENTS("event=call_refused", "reason=TOKEN_MALFORMED"));
    /* Which methods there are is told to those who may call some. */
    cr_expect_eq(call_with(channel, service, "NoSuch", NULL), STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, service, "NoSuch", right), STATUS_UNIMPLEMENTED);
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
}

/* A stream is refused though nothing was sent on it. */
Test(security, an_import_is_refused_before_anything_is_read, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    struct client_options options = { .token = t.tokens[ROLE_READER] };
    struct client *client = NULL;
    struct client_import *import = NULL;
    Sutra__V1__ImportResponse *response;
    struct arena arena;
    struct status st = { 0 };

    arena_init(&arena, ARENA_BYTES);
    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    cr_assert_eq(client_open(t.server.address, &options, &client, &st), STATUS_OK);
    cr_assert_eq(client_import_open(client, &import, &st), STATUS_OK);
    cr_expect_eq(client_import_receive(import, &arena, &response, &st), STATUS_PERMISSION_DENIED);
    cr_expect_str_eq(st.reason, "ROLE_TOO_SMALL");
    client_import_close(import);
    client_close(client);
    arena_deinit(&arena);
}

Test(security, health_and_reflection_are_open_unless_told_otherwise, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    static const char reflection[] = "grpc.reflection.v1.ServerReflection";
    static const char health[] = "grpc.health.v1.Health";
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    char header[TOKEN_SIZE + 16];
    struct status st = { 0 };

    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    snprintf(header, sizeof header, "Bearer %s", t.tokens[ROLE_READER]);
    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    channel = open_channel(loop);
    cr_expect_eq(call_with(channel, health, "Check", NULL), STATUS_INVALID_ARGUMENT);
    cr_expect_eq(call_with(channel, reflection, "ServerReflectionInfo", NULL),
                 STATUS_INVALID_ARGUMENT);
    rpc_channel_close(channel);
    cr_expect_eq(test_process_stop(&t.server), 0);

    start_server(ARGUMENTS("--tokens", in_folder("tokens"), "--health-open=false",
                           "--reflection-open=false"));
    channel = open_channel(loop);
    cr_expect_eq(call_with(channel, health, "Check", NULL), STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, health, "Watch", NULL), STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, health, "Check", header), STATUS_INVALID_ARGUMENT);
    cr_expect_eq(call_with(channel, reflection, "ServerReflectionInfo", NULL),
                 STATUS_UNAUTHENTICATED);
    cr_expect_eq(call_with(channel, reflection, "ServerReflectionInfo", header),
                 STATUS_INVALID_ARGUMENT);
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    return lines;
}

enum { FLOOD_CALLS = 2000, FLOOD_LINES = 500 };

Test(security, refusals_do_not_fill_the_log, .init = open_folder, .fini = close_folder,
     .timeout = 120)
{
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct status st = { 0 };
    size_t lines;
    char *text;

    start_server(ARGUMENTS("--tokens", in_folder("tokens")));
    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    channel = open_channel(loop);
    for (int i = 0; i < FLOOD_CALLS; i++) {
        call_with(channel, "sutra.v1.AdminService", "GetLimits", NULL);
        call_with(channel, "grpc.health.v1.Health", "Check", NULL);
    }
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    cr_expect_eq(test_process_stop(&t.server), 0);
    text = test_read_file(t.log);
    lines = count_lines(text);
    cr_expect(lines > 0 && lines < FLOOD_LINES, "%zu lines", lines);
    cr_expect_not_null(strstr(text, "event=call_refused"));
    cr_expect_not_null(strstr(text, "event=open_call_failed"));
    cr_expect(strstr(text, "refusals_not_logged suppressed=") != NULL, "the rest is counted");
    free(text);
}

/* Without tokens everybody is an admin. */
Test(security, nobody_in_particular_fills_the_log_as_an_admin, .init = open_folder,
     .fini = close_folder, .timeout = 120)
{
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct status st = { 0 };
    size_t lines;
    char *text;

    start_server(ARGUMENTS(NULL));
    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    channel = open_channel(loop);
    for (int i = 0; i < FLOOD_CALLS; i++)
        call_with(channel, "sutra.v1.AdminService", "TrainCodebook", NULL);
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    cr_expect_eq(test_process_stop(&t.server), 0);
    text = test_read_file(t.log);
    lines = count_lines(text);
    cr_expect(lines > 0 && lines < FLOOD_LINES, "%zu lines", lines);
    cr_expect_not_null(strstr(text, "event=admin_call"));
    free(text);
}

Test(security, our_client_shows_no_token_in_plaintext_to_another_machine, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    static const char away[] = "192.0.2.1:7400"; /* nobody's, RFC 5737 */
    const struct bad_start all[] = {
        { { SUTRA, "--address", away, "--token-file", in_folder("reader.token"), "limits" },
          "tokens would travel in plaintext to '192.0.2.1:7400'" },
        { { SUTRA, "--address", "127.0.0.1.example:7400", "--token-file", in_folder("reader.token"),
            "limits" },
          "tokens would travel in plaintext" },
        { { SUTRA, "--token-file", "/nonexistent", "limits" }, "--token-file '/nonexistent'" },
        { { SUTRA, "--tls-cert", in_folder("certs/client.pem"), "--tls-key",
            in_folder("certs/client.key"), "limits" },
          "--tls-ca is missing" },
        { { SUTRA, "--tls-ca", in_folder("tokens"), "limits" }, "holds no certificate" },
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        test_run(all[i].args, &t.output);
        cr_expect_eq(t.output.status, 2, "%zu: %s", i, t.output.text);
        cr_expect_not_null(strstr(t.output.text, all[i].says), "%s", t.output.text);
        expect_no_secret(t.output.text);
    }
    /* A router does not pass them on either. */
    test_run(ARGUMENTS("router/sutra-router", "--listen", "127.0.0.1:0", "--shards", away,
                       "--model", in_folder("no-model"), "--tokens", in_folder("tokens")),
             &t.output);
    cr_expect_eq(t.output.status, 1);
    cr_expect_not_null(strstr(t.output.text, "shard 0: tokens would travel in plaintext"), "%s",
                       t.output.text);
    /* With --insecure it is tried: nobody answers there. */
    test_run(ARGUMENTS(SUTRA, "--address", away, "--token-file", in_folder("reader.token"),
                       "--insecure", "--timeout", "0.2", "limits"),
             &t.output);
    cr_expect_eq(t.output.status, 4, "%s", t.output.text);
}

/* ---- sutra token ---- */

Test(security, a_token_is_printed_once_or_written_where_only_its_owner_reads, .init = open_folder,
     .fini = close_folder, .timeout = 60)
{
    struct stat about;
    char *text;

    test_run(ARGUMENTS(SUTRA, "token", "web", "reader"), &t.output);
    cr_expect_eq(t.output.status, 0);
    cr_expect_not_null(strstr(t.output.text, "\nsutra_"), "%s", t.output.text);
    cr_expect_not_null(strstr(t.output.text, "\nweb reader sha256:"), "%s", t.output.text);

    cr_assert_eq(stat(in_folder("reader.token"), &about), 0);
    cr_expect_eq(about.st_mode & 0777, 0600);
    test_run(ARGUMENTS(SUTRA, "token", "web", "reader", "--secret", in_folder("reader.token")),
             &t.output);
    cr_expect_eq(t.output.status, 2, "a token is not overwritten");
    cr_expect_null(strstr(t.output.text, "sutra_"), "%s", t.output.text);
    write_file("open-line", "# no line feed");
    test_run(ARGUMENTS(SUTRA, "token", "web", "reader", "--append", in_folder("open-line")),
             &t.output);
    text = test_read_file(in_folder("open-line"));
    cr_expect_not_null(strstr(text, "# no line feed\nweb reader sha256:"), "%s", text);
    free(text);
    test_run(ARGUMENTS(SUTRA, "token", "web", "boss"), &t.output);
    cr_expect_eq(t.output.status, 2);
    test_run(ARGUMENTS(SUTRA, "token", "w b", "reader"), &t.output);
    cr_expect_eq(t.output.status, 2);
}

/* ---- A cluster ---- */

/* What all of its processes are given; certificates must be shown in every direction. */
static void secure(const char **args)
{
    struct command_line line = { 0 };

    add(&line, tls());
    add(&line, ARGUMENTS("--tls-ca", in_folder("certs/ca.pem"), "--tls-client-auth", "require",
                         "--tokens", in_folder("tokens"), "--peer-token", in_folder("admin.token"),
                         "--embedder", t.embedder.address));
    memcpy(args, line.argv, line.count * sizeof *args);
}

static void start_embedder(void)
{
    struct command_line line = { 0 };

    add(&line, ARGUMENTS("src/apps/embed/sutra-embed", "--listen", "127.0.0.1:0"));
    add(&line, tls());
    add(&line, ARGUMENTS("--tls-ca", in_folder("certs/ca.pem"), "--tls-client-auth", "require",
                         "--tokens", in_folder("tokens")));
    test_process_start_logged(&t.embedder, line.argv, t.log);
}

static void start_cluster(void)
{
    struct test_cluster_options options = {
        .shards = 2, .model = true, .router = true, .log = true
    };

    open_folder();
    start_embedder();
    secure(options.shard_args);
    secure(options.router_args);
    test_cluster_start(&t.cluster, &options);
}

static struct client *open_client(enum role role)
{
    const struct client_options options = {
        .timeout_ms = 60000,
        .tls_ca = in_folder("certs/ca.pem"),
        .tls_cert = in_folder("certs/client.pem"),
        .tls_key = in_folder("certs/client.key"),
        .token = t.tokens[role],
    };
    struct client *client = NULL;
    struct status st = { 0 };

    cr_assert_eq(client_open(test_cluster_address(&t.cluster), &options, &client, &st), STATUS_OK,
                 "%s", st.message);
    return client;
}

static enum status_code learn(struct client *client, char *id, char *text, struct arena *arena,
                              struct status *st)
{
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__ConceptInput item = SUTRA__V1__CONCEPT_INPUT__INIT;
    Sutra__V1__LearnResponse *reply;

    item.id = id;
    item.content = text;
    request.concept = &item;
    return client_learn(client, &request, arena, &reply, st);
}

static size_t search(struct client *client, char *text, struct arena *arena)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__SearchResponse *reply = NULL;
    struct status st = { 0 };

    query.by_case = SUTRA__V1__QUERY__BY_TEXT;
    query.text = text;
    request.query = &query;
    request.k = 3;
    cr_assert_eq(client_search(client, &request, arena, &reply, &st), STATUS_OK, "%s", st.message);
    return reply->n_hits;
}

/* Associates concepts of which some live on different shards, and waits until the shards have told
 * each other: with tokens and certificates of their own. */
static void associate_all(struct client *client, size_t count, struct arena *arena)
{
    static const struct timespec pause = { .tv_nsec = 20 * 1000000 };
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    Sutra__V1__StatsRequest ask_stats = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *stats = NULL;
    struct status st = { 0 };

    for (size_t i = 0; i + 1 < count; i++) {
        Sutra__V1__AssociateRequest request = SUTRA__V1__ASSOCIATE_REQUEST__INIT;
        Sutra__V1__AssociateResponse *reply;
        Sutra__V1__Association association = SUTRA__V1__ASSOCIATION__INIT;
        association.source = arena_printf(arena, "c%zu", i);
        association.target = arena_printf(arena, "c%zu", i + 1);
        association.type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL;
        association.weight = 1;
        association.confidence = 1;
        request.association = &association;
        cr_assert_eq(client_associate(client, &request, arena, &reply, &st), STATUS_OK, "%s",
                     st.message);
    }
    do {
        cr_assert_eq(client_stats(client, &ask_stats, arena, &stats, &st), STATUS_OK);
        if (stats->total->outbox_pending == 0)
            return;
        nanosleep(&pause, NULL); /* between two looks */
    } while (clock_monotonic_us() < until_us);
    cr_assert(false, "associations are still under way");
}

Test(security, a_whole_cluster_runs_over_certificates_and_tokens, .init = start_cluster,
     .fini = close_folder, .timeout = 300)
{
    enum { CONCEPTS = 16 };
    struct client *writer = open_client(ROLE_WRITER);
    struct client *reader = open_client(ROLE_READER);
    char log[PATH_SIZE];
    struct arena arena;
    struct status st = { 0 };

    arena_init(&arena, ARENA_BYTES);
    for (size_t i = 0; i < CONCEPTS; i++)
        cr_assert_eq(learn(writer, arena_printf(&arena, "c%zu", i),
                           arena_printf(&arena, "the tide of day %zu", i), &arena, &st),
                     STATUS_OK, "%s", st.message);
    associate_all(writer, CONCEPTS, &arena);
    cr_expect_eq(search(reader, "tides", &arena), 3);
    cr_expect_eq(learn(reader, "mine", "not for readers", &arena, &st), STATUS_PERMISSION_DENIED);
    snprintf(log, sizeof log, "%s/log", t.cluster.folder);
    expect_line(log, ARGUMENTS("event=call_refused", "caller=reader", "CN=sutra-client",
                               "method=/sutra.v1.ConceptService/Learn"));
    expect_no_secret_in(log);
    expect_no_secret_in(t.log);
    client_close(writer);
    client_close(reader);
    arena_deinit(&arena);
}
