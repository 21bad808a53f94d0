#ifndef SUTRA_TESTS_SUPPORT_CERTIFICATES_H
#define SUTRA_TESTS_SUPPORT_CERTIFICATES_H

/**
 * Certificates for one test, as deploy/make-certificates makes them, and worse ones.
 *
 * Functions fail the test where they cannot do what they say.
 */

/** ca, server and client (each .pem and .key) in @folder, which is created. @name is one of the
 * server's names besides the usual; NULL: none. */
void test_certificates_make(const char *folder, const char *name);

/** A copy of server.pem, for server.key and from the same authority, that expired yesterday:
 * expired.pem. */
void test_certificates_expire(const char *folder);

#endif
