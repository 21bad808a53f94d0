#include "src/rpc/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>

enum { PEM_FILE_BYTES = 1 << 20 };

static const char cert_option[] = "tls-cert";
static const char key_option[] = "tls-key";
static const char ca_option[] = "tls-ca";

/* Whatever is wrong with a file is the system's fault, and not the request's. */
static enum status_code blame(const char *option, const char *path, struct status *st)
{
    st->code = STATUS_FAILED_PRECONDITION;
    return status_wrap(st, "--%s '%s'", option, path);
}

static void warn_about(pem_warn_fn *warn, const char *option, const char *path, const char *what)
{
    char message[STATUS_MESSAGE_SIZE];

    snprintf(message, sizeof message, "--%s '%s' %s", option, path, what);
    if (warn != NULL)
        warn(message);
}

/* A key with a password would otherwise be asked for on the terminal. */
static int no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static BIO *bio_of(const struct file_text *text)
{
    return BIO_new_mem_buf(text->data, (int)text->size);
}

/* Certificates. ------------------------------------------------------------------------------- */

/* Whether the end of the file is why there is no further certificate. */
static bool ended_well(void)
{
    unsigned long error = ERR_peek_last_error();

    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static bool is_expired(const X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
}

/* What a file of certificates holds. */
struct certificates {
    X509 *first;
    size_t count;
    bool well_formed; /* up to the end */
    bool any_expired;
};

static struct certificates parse_certificates(const struct file_text *text)
{
    struct certificates all = { 0 };
    BIO *bio = bio_of(text);
    X509 *cert;

    ERR_clear_error();
    while (bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        all.any_expired |= is_expired(cert);
        if (all.count++ == 0)
            all.first = cert;
        else
            X509_free(cert);
    }
    all.well_formed = ended_well();
    ERR_clear_error();
    BIO_free(bio);
    return all;
}

static enum status_code check_certificates(const struct certificates *all, struct status *st)
{
    if (all->count == 0)
        return status_set(st, STATUS_FAILED_PRECONDITION, "holds no certificate in PEM form");
    if (!all->well_formed)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "is no certificate in PEM form behind the first %zu", all->count);
    return STATUS_OK;
}

enum status_code pem_read_ca(const char *path, pem_warn_fn *warn, struct file_text *ret,
                             struct status *st)
{
    struct file_text text = { 0 };
    struct certificates all = { 0 };

    if (file_read(path, PEM_FILE_BYTES, &text, NULL, st) == STATUS_OK) {
        all = parse_certificates(&text);
        check_certificates(&all, st);
    }
    X509_free(all.first);
    if (st->code != STATUS_OK) {
        file_text_deinit(&text);
        return blame(ca_option, path, st);
    }
    if (all.any_expired)
        warn_about(warn, ca_option, path, "holds a certificate that has expired");
    *ret = text;
    return STATUS_OK;
}

/* Pairs. -------------------------------------------------------------------------------------- */

static EVP_PKEY *parse_key(const struct file_text *text)
{
    BIO *bio = bio_of(text);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

    ERR_clear_error();
    BIO_free(bio);
    return key;
}

static enum status_code read_cert(const char *path, pem_warn_fn *warn, struct file_text *ret,
                                  struct certificates *ret_all, struct status *st)
{
    if (file_read(path, PEM_FILE_BYTES, ret, NULL, st) != STATUS_OK)
        return blame(cert_option, path, st);
    *ret_all = parse_certificates(ret);
    if (check_certificates(ret_all, st) != STATUS_OK)
        return blame(cert_option, path, st);
    if (is_expired(ret_all->first))
        warn_about(warn, cert_option, path, "has expired: peers will refuse it");
    return STATUS_OK;
}

static enum status_code read_key(const char *path, pem_warn_fn *warn, struct file_text *ret,
                                 EVP_PKEY **ret_key, struct status *st)
{
    struct stat about;

    if (file_read(path, PEM_FILE_BYTES, ret, &about, st) != STATUS_OK)
        return blame(key_option, path, st);
    *ret_key = parse_key(ret);
    if (*ret_key == NULL) {
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "holds no private key in PEM form, or one with a password");
        return blame(key_option, path, st);
    }
    if ((about.st_mode & S_IROTH) != 0)
        warn_about(warn, key_option, path, "can be read by every user of this machine");
    return STATUS_OK;
}

static enum status_code check_match(X509 *cert, EVP_PKEY *key, const char *cert_path,
                                    const char *key_path, struct status *st)
{
    int match = X509_check_private_key(cert, key);

    ERR_clear_error();
    if (match == 1)
        return STATUS_OK;
    status_set(st, STATUS_FAILED_PRECONDITION, "is not the key of --%s '%s'", cert_option,
               cert_path);
    return blame(key_option, key_path, st);
}

enum status_code pem_read_pair(const char *cert_path, const char *key_path, pem_warn_fn *warn,
                               struct pem_pair *ret, struct status *st)
{
    struct pem_pair pair = { 0 };
    struct certificates all = { 0 };
    EVP_PKEY *key = NULL;

    if (read_cert(cert_path, warn, &pair.cert, &all, st) == STATUS_OK &&
        read_key(key_path, warn, &pair.key, &key, st) == STATUS_OK &&
        check_match(all.first, key, cert_path, key_path, st) == STATUS_OK)
        *ret = pair;
    else
        pem_pair_deinit(&pair);
    X509_free(all.first);
    EVP_PKEY_free(key);
    return st->code;
}

void pem_pair_deinit(struct pem_pair *pair)
{
    file_text_deinit(&pair->cert);
    file_text_deinit(&pair->key);
}
