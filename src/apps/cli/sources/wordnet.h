#ifndef SUTRA_APPS_CLI_SOURCES_WORDNET_H
#define SUTRA_APPS_CLI_SOURCES_WORDNET_H

/**
 * WordNet 3.0's database files (data.noun, data.verb, data.adj, data.adv; manual page wndb(5)): a
 * synset becomes a concept, each of its pointers an association.
 *
 *   id        "wn30:" part of speech, offset: "wn30:n04401088"; satellite adjectives count as "a"
 *   content   "lemma, lemma — definition"; the examples of a gloss, which lead away from its
 * meaning
 *             ("a big fish was swimming in the tank"), are the attribute "examples"
 *   category  the lexicographer's file: "noun.artifact"
 *   label     what the pointer is called: "hypernym"; a pointer between words names them by their
 *             numbers, "antonym 01>02"; what the file says twice is "… #2" the second time, so that
 *             no pointer is lost
 */

#include <stdbool.h>
#include <stddef.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "sutra/v1/types.pb-c.h"

/** Whether the line is a synset; the licence at the head of each file is indented. */
bool wordnet_line_is_synset(const char *line, size_t length);

/** One line of a data file, without its LF. Everything in @arena. INVALID_ARGUMENT says what is
 * wrong with it. */
enum status_code wordnet_parse_synset(const char *line, size_t length, struct arena *arena,
                                      Sutra__V1__ConceptInput **ret_item, struct status *st);

#endif
