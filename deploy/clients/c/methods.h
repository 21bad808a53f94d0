#ifndef SUTRA_DEPLOY_CLIENTS_C_METHODS_H
#define SUTRA_DEPLOY_CLIENTS_C_METHODS_H

/** The client's functions by the names of their methods, with JSON in and out. */

#include <jansson.h>
#include <stdbool.h>

#include "src/client/client.h"

/** Calls "sutra.v1.ConceptService/Get" with @request; *@ret_answer is a new reference, NULL unless
 * the call was OK. INVALID_ARGUMENT where no such unary method exists. */
enum status_code method_call(struct client *client, const char *path, const json_t *request,
                             json_t **ret_answer, struct status *st);

/** Lists; the responses joined. */
enum status_code method_list(struct client *client, const json_t *request, json_t **ret_answer,
                             struct status *st);

/** Imports, in a stream; *@ret_answers has the responses that came, also where the stream ends with
 * an error. With @cancel_after, only so many requests are sent, and the stream is cancelled when it
 * has as many responses. */
enum status_code method_import(struct client *client, const json_t *requests, size_t cancel_after,
                               json_t **ret_answers, struct status *st);

#endif
