#ifndef SUTRA_SERVE_SECURITY_H
#define SUTRA_SERVE_SECURITY_H

/**
 * What a server's options say of certificates and tokens, read and checked before anything else is
 * opened.
 */

#include "src/auth/token.h"
#include "src/auth/tokens.h"
#include "src/rpc/client.h"
#include "src/rpc/tls.h"
#include "src/serve/options.h"

struct serve_security {
    struct rpc_tls *tls;                  /* NULL: no files were given */
    struct tokens *tokens;                /* NULL: everybody may call */
    char peer_token[TOKEN_MAX_BYTES + 1]; /* "": none */
};

/** Names the option that is at fault, and the file, never what is in it. Plaintext that others than
 * this machine could send is refused unless the options say `insecure`. */
enum status_code serve_security_open(const struct serve_options *options,
                                     struct serve_security *ret, struct status *st);

/** After the server and the channels. `{0}` is fine. */
void serve_security_close(struct serve_security *security);

/** How this server connects to others; borrows from both. */
struct rpc_channel_options serve_security_peers(const struct serve_options *options,
                                                const struct serve_security *security);

#endif
