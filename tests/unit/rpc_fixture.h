#ifndef SUTRA_TESTS_UNIT_RPC_FIXTURE_H
#define SUTRA_TESTS_UNIT_RPC_FIXTURE_H

/**
 * A server with sutra.v1's own services on 127.0.0.1:0 and a channel to it. Methods that a test
 * does not bring answer UNIMPLEMENTED "not in this test".
 */

#include <pthread.h>

#include "src/rpc/client.h"
#include "src/rpc/server.h"
#include "src/rpc/sync_client.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "sutra/v1/embedding_service.pb-c.h"

#define CONCEPTS &sutra__v1__concept_service__descriptor
#define EMBEDDING &sutra__v1__embedding_service__descriptor

struct rpc_fixture {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    char target[64];
};

/** What the tests' methods are given, in full. */
struct rpc_fixture_setup {
    struct rpc_server_options options;
    const struct rpc_method *methods; /* of either service */
    size_t count;
    void *service;
    bool announced;                                         /* ConceptService is not opened */
    void (*more)(struct rpc_server *server, void *service); /* adds further services; may be NULL */
};

/** Starts all; stops the test on failure. */
void rpc_fixture_start(struct rpc_fixture *f, const struct rpc_fixture_setup *setup);
void rpc_fixture_stop(struct rpc_fixture *f);

/** A server of its own on @loop. */
struct rpc_server *rpc_fixture_server(struct rpc_loop *loop, const struct rpc_fixture_setup *setup,
                                      char target[64]);

/** The same at a known address. */
struct rpc_server *rpc_fixture_server_at(struct rpc_loop *loop,
                                         const struct rpc_fixture_setup *setup,
                                         const char *address);

/** Counts up; waiters wait for a number. */
struct latch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
};

#define LATCH_INIT                                                                                 \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                                     \
    }

void latch_up(struct latch *latch);
void latch_wait(struct latch *latch, int count);
int latch_count(struct latch *latch);

/** clock_monotonic_us() + @ms. */
int64_t deadline_in_ms(int64_t ms);

/** GetRequest{id} to ConceptService.Get; the reply's concept.id, or NULL and @st. */
const char *get_id(struct rpc_channel *channel, const char *id, struct arena *arena,
                   struct status *st);

#endif
