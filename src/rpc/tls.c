#include "src/rpc/tls.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/rpc/pem.h"
#include "src/rpc/tls_impl.h"

/* What tells a file from one that has taken its place, or that could not be read before: the last
 * change of its state, which chmod is too, and not of its contents only. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct stamps {
    struct file_stamp cert;
    struct file_stamp key;
    struct file_stamp ca;
};

/* What the files held. */
struct material {
    struct pem_pair pair;
    struct file_text ca;
};

struct rpc_tls {
    char *cert; /* paths; NULL: none */
    char *key;
    char *ca;
    bool require_client;
    pem_warn_fn *warn;

    pthread_mutex_t lock; /* of what follows */
    struct stamps seen;   /* the files as they were last read */
    struct material good; /* the last that could be used */
    uint64_t generation;  /* of it, from 1 */
};

struct tls_listener {
    struct rpc_tls *tls;
    uint64_t generation; /* given last; under the lock */
};

/* Files. -------------------------------------------------------------------------------------- */

static struct file_stamp stamp_of(const char *path)
{
    struct stat about;

    if (path == NULL || stat(path, &about) != 0)
        return (struct file_stamp){ 0 };
    return (struct file_stamp){ .device = about.st_dev,
                                .inode = about.st_ino,
                                .size = about.st_size,
                                .changed = about.st_ctim };
}

static bool same_stamp(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct stamps stamps_now(const struct rpc_tls *tls)
{
    return (struct stamps){ .cert = stamp_of(tls->cert),
                            .key = stamp_of(tls->key),
                            .ca = stamp_of(tls->ca) };
}

static bool same_stamps(const struct stamps *a, const struct stamps *b)
{
    return same_stamp(&a->cert, &b->cert) && same_stamp(&a->key, &b->key) &&
           same_stamp(&a->ca, &b->ca);
}

static void material_deinit(struct material *material)
{
    pem_pair_deinit(&material->pair);
    file_text_deinit(&material->ca);
}

static enum status_code read_material(const struct rpc_tls *tls, struct material *ret,
                                      struct status *st)
{
    struct material material = { 0 };

    if (tls->cert != NULL)
        pem_read_pair(tls->cert, tls->key, tls->warn, &material.pair, st);
    if (st->code == STATUS_OK && tls->ca != NULL)
        pem_read_ca(tls->ca, tls->warn, &material.ca, st);
    if (st->code == STATUS_OK)
        *ret = material;
    else
        material_deinit(&material);
    return st->code;
}

/* Reads what has changed since it was last read. The stamps are taken first: what changes while we
 * read is read once more. Under the lock, or before there are others. */
static enum status_code refresh(struct rpc_tls *tls, struct status *st)
{
    struct stamps now = stamps_now(tls);
    struct material fresh;

    if (tls->generation > 0 && same_stamps(&now, &tls->seen))
        return STATUS_OK;
    tls->seen = now;
    if (read_material(tls, &fresh, st) != STATUS_OK)
        return st->code;
    material_deinit(&tls->good);
    tls->good = fresh;
    tls->generation++;
    return STATUS_OK;
}

/* The same; files that cannot be used are worth a warning, and the last good ones are kept. */
static void refresh_or_keep(struct rpc_tls *tls)
{
    struct status st = { 0 };

    if (refresh(tls, &st) == STATUS_OK || tls->warn == NULL)
        return;
    status_wrap(&st, "keeping the certificates that were read before");
    tls->warn(st.message);
}

/* Life. --------------------------------------------------------------------------------------- */

static bool is_given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

static enum status_code check_options(const struct rpc_tls_options *options, struct status *st)
{
    if (is_given(options->cert) != is_given(options->key))
        return status_set(st, STATUS_INVALID_ARGUMENT, "--tls-%s is missing: --tls-%s needs it",
                          is_given(options->cert) ? "key" : "cert",
                          is_given(options->cert) ? "cert" : "key");
    if (options->require_client && !(is_given(options->cert) && is_given(options->ca)))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--tls-client-auth require needs --tls-cert, --tls-key and --tls-ca");
    return STATUS_OK;
}

/* NULL for no path. */
static char *copy_path(const char *path)
{
    char *copy = is_given(path) ? strdup(path) : NULL;

    assert(copy != NULL || !is_given(path));
    return copy;
}

enum status_code rpc_tls_open(const struct rpc_tls_options *options, struct rpc_tls **ret,
                              struct status *st)
{
    struct rpc_tls *tls;

    if (check_options(options, st) != STATUS_OK)
        return st->code;
    tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    tls->cert = copy_path(options->cert);
    tls->key = copy_path(options->key);
    tls->ca = copy_path(options->ca);
    tls->require_client = options->require_client;
    tls->warn = options->warn;
    pthread_mutex_init(&tls->lock, NULL);
    if (refresh(tls, st) == STATUS_OK)
        *ret = tls;
    else
        rpc_tls_close(tls);
    return st->code;
}

void rpc_tls_close(struct rpc_tls *tls)
{
    if (tls == NULL)
        return;
    material_deinit(&tls->good);
    pthread_mutex_destroy(&tls->lock);
    free(tls->cert);
    free(tls->key);
    free(tls->ca);
    free(tls);
}

bool rpc_tls_serves(const struct rpc_tls *tls)
{
    return tls != NULL && tls->cert != NULL;
}

bool rpc_tls_connects(const struct rpc_tls *tls)
{
    return tls != NULL && tls->ca != NULL;
}

/* Credentials. -------------------------------------------------------------------------------- */

static grpc_ssl_pem_key_cert_pair pair_of(const struct material *material)
{
    return (grpc_ssl_pem_key_cert_pair){ .private_key = material->pair.key.data,
                                         .cert_chain = material->pair.cert.data };
}

/* Whom clients' certificates must come from. gRPC wants to be told also where it does not ask for
 * any: then our own is as good as another. */
static const char *client_roots(const struct rpc_tls *tls)
{
    return tls->require_client ? tls->good.ca.data : tls->good.pair.cert.data;
}

/* gRPC asks before every handshake. */
static grpc_ssl_certificate_config_reload_status
fetch(void *user_data, grpc_ssl_server_certificate_config **ret_config)
{
    struct tls_listener *listener = user_data;
    struct rpc_tls *tls = listener->tls;
    grpc_ssl_certificate_config_reload_status outcome =
        GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;

    pthread_mutex_lock(&tls->lock);
    refresh_or_keep(tls);
    if (listener->generation != tls->generation) {
        const grpc_ssl_pem_key_cert_pair pair = pair_of(&tls->good);
        *ret_config = grpc_ssl_server_certificate_config_create(client_roots(tls), &pair, 1);
        listener->generation = tls->generation;
        outcome = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
    }
    pthread_mutex_unlock(&tls->lock);
    return outcome;
}

grpc_server_credentials *tls_server_credentials(struct rpc_tls *tls,
                                                struct tls_listener **ret_listener)
{
    struct tls_listener *listener;

    *ret_listener = NULL;
    if (!rpc_tls_serves(tls))
        return grpc_insecure_server_credentials_create();
    listener = calloc(1, sizeof *listener);
    assert(listener != NULL); /* as gRPC's own allocator would */
    listener->tls = tls;
    *ret_listener = listener;
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            tls->require_client ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            fetch, listener));
}

void tls_listener_free(struct tls_listener *listener)
{
    free(listener);
}

grpc_channel_credentials *tls_channel_credentials(struct rpc_tls *tls)
{
    grpc_channel_credentials *credentials;
    grpc_ssl_pem_key_cert_pair pair;

    if (!rpc_tls_connects(tls))
        return grpc_insecure_credentials_create();
    pthread_mutex_lock(&tls->lock);
    refresh_or_keep(tls);
    pair = pair_of(&tls->good);
    credentials = grpc_ssl_credentials_create_ex(tls->good.ca.data,
                                                 tls->cert != NULL ? &pair : NULL, NULL, NULL);
    pthread_mutex_unlock(&tls->lock);
    return credentials;
}
