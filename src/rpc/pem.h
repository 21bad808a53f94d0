#ifndef SUTRA_RPC_PEM_H
#define SUTRA_RPC_PEM_H

/**
 * Certificates and keys as PEM files, read and looked at before gRPC gets them: it would only say
 * that a handshake failed, and only when there is one.
 *
 * Messages name the option that the file came from and the file, never anything of what is in it.
 */

#include "src/base/file.h"
#include "src/base/status.h"

/** About what can be used but should not be so: an expired certificate, a key that all can read. */
typedef void pem_warn_fn(const char *message);

/** A certificate (with those between it and its issuer's root behind it) and its key. */
struct pem_pair {
    struct file_text cert;
    struct file_text key;
};

/** FAILED_PRECONDITION unless both can be read, are PEM without a password, and belong together. */
enum status_code pem_read_pair(const char *cert_path, const char *key_path, pem_warn_fn *warn,
                               struct pem_pair *ret, struct status *st);

/** `{0}` is fine. */
void pem_pair_deinit(struct pem_pair *pair);

/** FAILED_PRECONDITION unless it can be read and holds certificates, and nothing that looks like
 * one and is none. */
enum status_code pem_read_ca(const char *path, pem_warn_fn *warn, struct file_text *ret,
                             struct status *st);

#endif
