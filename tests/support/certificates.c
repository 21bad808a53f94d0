#include "tests/support/certificates.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "tests/support/cluster.h"

enum { PATH_SIZE = 256, DAY_S = 24 * 60 * 60 };

void test_certificates_make(const char *folder, const char *name)
{
    struct test_output output;

    test_run((const char *const[]){ "deploy/make-certificates", folder, name, NULL }, &output);
    cr_assert_eq(output.status, 0, "%s", output.text);
}

static FILE *open_in(const char *folder, const char *file, const char *mode)
{
    char path[PATH_SIZE];
    FILE *opened;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    opened = fopen(path, mode);
    cr_assert_not_null(opened, "%s", path);
    return opened;
}

static X509 *read_certificate(const char *folder, const char *file)
{
    FILE *opened = open_in(folder, file, "r");
    X509 *certificate = PEM_read_X509(opened, NULL, NULL, NULL);

    cr_assert_not_null(certificate);
    fclose(opened);
    return certificate;
}

static EVP_PKEY *read_key(const char *folder, const char *file)
{
    FILE *opened = open_in(folder, file, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(opened, NULL, NULL, NULL);

    cr_assert_not_null(key);
    fclose(opened);
    return key;
}

void test_certificates_expire(const char *folder)
{
    X509 *certificate = read_certificate(folder, "server.pem");
    EVP_PKEY *authority = read_key(folder, "ca.key");
    FILE *file = open_in(folder, "expired.pem", "w");

    cr_assert_not_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -2L * DAY_S));
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notAfter(certificate), -1L * DAY_S));
    cr_assert_neq(X509_sign(certificate, authority, EVP_sha256()), 0);
    cr_assert_eq(PEM_write_X509(file, certificate), 1);
    cr_assert_eq(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(authority);
}
