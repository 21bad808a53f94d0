#ifndef SUTRA_CLIENT_CLIENT_H
#define SUTRA_CLIENT_CLIENT_H

/**
 * The typed client of a router or a shard: one blocking function per method of the public services.
 *
 * Every call packs the request, sets the deadline, waits, and unpacks the reply into the caller's
 * arena, where it lives until the arena is reset; nobody frees a reply. The codes are the server's;
 * when the server named a field or a reason they are in the status too. UNAVAILABLE: nobody answers
 * at the address, or a shard behind it is missing. DEADLINE_EXCEEDED: no answer in time.
 * RESOURCE_EXHAUSTED may also mean that the reply does not fit the arena. UNAUTHENTICATED: the
 * server asks for a token that it knows. PERMISSION_DENIED: for one with a larger role.
 *
 * deploy/service-config.json is built in: calls go to one server after the other of those that say
 * that they take calls; methods that only read are tried again, four times at most, when they meet
 * UNAVAILABLE; and each may take the time that is given there at most. Methods that write are sent
 * once, because a lost answer does not tell whether the write happened, and again only where the
 * server has refused them unseen, while it was starting.
 *
 * Any number of threads may call one client; a stream belongs to one thread, except that one thread
 * may send on an import while another receives.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "sutra/v1/admin_service.pb-c.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "sutra/v1/embedding_service.pb-c.h"

struct client;

/** "127.0.0.1:7400", where a router listens unless told otherwise. */
#define CLIENT_DEFAULT_ADDRESS "127.0.0.1:7400"

struct client_options {
    uint32_t timeout_ms; /* of every call; 0: 30 seconds. Streams have none: they last while the
                          * server gives signs of life. */

    /* PEM files; NULL or "": none. With @tls_ca the server must show a certificate of that
     * authority in the name of the host that is called; @tls_cert and @tls_key are what a server
     * that asks is shown. */
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name; /* instead of the host's, for a way that the name does not show:
                                  * a forwarded port, a Unix socket */
    void (*warn)(const char *message); /* told of expired certificates and keys that all can read */

    const char *token; /* says who calls; NULL or "": nobody in particular */
    bool insecure;     /* the token may travel in plaintext to another machine */
};

/** $SUTRA_ADDRESS, else CLIENT_DEFAULT_ADDRESS. */
const char *client_default_address(void);

/**
 * Prepares a channel to @address ("host:port", "unix:/path", or several "number:port" with commas
 * between them: routers side by side; NULL: client_default_address()). Connects with the first
 * call, so a server that is not there shows up then. @options may be NULL; what it points to is
 * copied. INVALID_ARGUMENT for a malformed address or token, FAILED_PRECONDITION for files that
 * cannot be used, and where a token would leave this machine in plaintext.
 */
enum status_code client_open(const char *address, const struct client_options *options,
                             struct client **ret_client, struct status *st);

/** Streams must be closed before. NULL does nothing. */
void client_close(struct client *client);

/** Calls of every thread that are under way now, but for streams, end with CANCELLED unless they
 * have ended already. Any thread. */
void client_cancel(struct client *client);

/** What client_open() was given or found. Valid until client_close(). */
const char *client_address(const struct client *client);

/* service, function name, method: every unary method of the public services. */
#define CLIENT_METHODS(X)                                                                          \
    X(concept, learn, Learn)                                                                       \
    X(concept, learn_batch, LearnBatch)                                                            \
    X(concept, put, Put)                                                                           \
    X(concept, get, Get)                                                                           \
    X(concept, batch_get, BatchGet)                                                                \
    X(concept, delete, Delete)                                                                     \
    X(concept, associate, Associate)                                                               \
    X(concept, dissociate, Dissociate)                                                             \
    X(concept, neighbors, Neighbors)                                                               \
    X(concept, search, Search)                                                                     \
    X(concept, batch_search, BatchSearch)                                                          \
    X(concept, distance, Distance)                                                                 \
    X(concept, reinforce, Reinforce)                                                               \
    X(admin, stats, Stats)                                                                         \
    X(admin, get_topology, GetTopology)                                                            \
    X(admin, get_limits, GetLimits)                                                                \
    X(admin, train_codebook, TrainCodebook)                                                        \
    X(embedding, embed, Embed)                                                                     \
    X(embedding, info, Info)

/** enum status_code client_get(struct client *, const Sutra__V1__GetRequest *, struct arena *,
 *                              Sutra__V1__GetResponse **ret_reply, struct status *), and so on. */
#define CLIENT_DECLARE(service, function, Method)                                                  \
    enum status_code client_##function(                                                            \
        struct client *client, const Sutra__V1__##Method##Request *request, struct arena *arena,   \
        Sutra__V1__##Method##Response **ret_reply, struct status *st);
CLIENT_METHODS(CLIENT_DECLARE)
#undef CLIENT_DECLARE

/** grpc.health.v1, also of a server that takes no calls: *@ret_serving says whether @service (""
 * for the whole server) does. NOT_FOUND when the server does not know @service. */
enum status_code client_health(struct client *client, const char *service, bool *ret_serving,
                               struct status *st);

struct client_serving {
    const char *service;
    bool serving;
};

/** The same of everything that the server knows, by name, in @arena. */
enum status_code client_health_list(struct client *client, struct arena *arena,
                                    struct client_serving **ret_list, size_t *ret_count,
                                    struct status *st);

/** All concepts, page by page. */
struct client_list;

enum status_code client_list_open(struct client *client, const Sutra__V1__ListRequest *request,
                                  struct client_list **ret_list, struct status *st);

/** The next page in @arena; NULL behind the last one. */
enum status_code client_list_next(struct client_list *list, struct arena *arena,
                                  Sutra__V1__ListResponse **ret_page, struct status *st);

/** Cancels what is still under way. NULL does nothing. */
void client_list_close(struct client_list *list);

/** A running import: requests go out, responses come back in their order. */
struct client_import;

enum status_code client_import_open(struct client *client, struct client_import **ret_import,
                                    struct status *st);

/** Waits while the server holds us back. False when the stream is broken: then
 * client_import_receive() says why. @request may be reused after return. */
bool client_import_send(struct client_import *import, const Sutra__V1__ImportRequest *request);

/** No more requests, once; responses to those sent still come. */
void client_import_send_done(struct client_import *import);

/** The next response in @arena; NULL when the server ended the stream with OK. */
enum status_code client_import_receive(struct client_import *import, struct arena *arena,
                                       Sutra__V1__ImportResponse **ret_response, struct status *st);

/** The stream ends with CANCELLED, which client_import_receive() says behind the responses that
 * have arrived. What has no response may be written or not. */
void client_import_cancel(struct client_import *import);

/** Cancels what is still under way. No other thread may use the stream. NULL does nothing. */
void client_import_close(struct client_import *import);

#endif
