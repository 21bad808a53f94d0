#include "src/apps/cli/sources/wordnet.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/sources/item_fields.h"
#include "src/apps/cli/sources/line_reader.h"
#include "src/apps/cli/sources/source_type.h"
#include "src/base/buf.h"
#include "src/base/utf8.h"

static char SOURCE_NAME[] = "wordnet-3.0";

/* lexnames(5), in the order of their numbers. */
static const char *const LEXICOGRAPHER_FILES[] = {
    "adj.all",          "adj.pert",           "adv.all",
    "noun.Tops",        "noun.act",           "noun.animal",
    "noun.artifact",    "noun.attribute",     "noun.body",
    "noun.cognition",   "noun.communication", "noun.event",
    "noun.feeling",     "noun.food",          "noun.group",
    "noun.location",    "noun.motive",        "noun.object",
    "noun.person",      "noun.phenomenon",    "noun.plant",
    "noun.possession",  "noun.process",       "noun.quantity",
    "noun.relation",    "noun.shape",         "noun.state",
    "noun.substance",   "noun.time",          "verb.body",
    "verb.change",      "verb.cognition",     "verb.communication",
    "verb.competition", "verb.consumption",   "verb.contact",
    "verb.creation",    "verb.emotion",       "verb.motion",
    "verb.perception",  "verb.possession",    "verb.social",
    "verb.stative",     "verb.weather",       "adj.ppl",
};

enum { LEXICOGRAPHER_FILE_COUNT = sizeof LEXICOGRAPHER_FILES / sizeof LEXICOGRAPHER_FILES[0] };

_Static_assert(LEXICOGRAPHER_FILE_COUNT == 45, "WordNet 3.0 has 45 lexicographer files");

struct relation {
    const char *symbol;
    const char *label;
    Sutra__V1__AssociationType type;
};

#define SEMANTIC SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC
#define CAUSAL SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL
#define HIERARCHICAL SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_HIERARCHICAL
#define COMPOSITIONAL SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_COMPOSITIONAL

/* wninput(5), "Pointers". */
static const struct relation RELATIONS[] = {
    { "@", "hypernym", HIERARCHICAL },
    { "@i", "instance_hypernym", HIERARCHICAL },
    { "~", "hyponym", HIERARCHICAL },
    { "~i", "instance_hyponym", HIERARCHICAL },
    { "#m", "member_holonym", COMPOSITIONAL },
    { "#s", "substance_holonym", COMPOSITIONAL },
    { "#p", "part_holonym", COMPOSITIONAL },
    { "%m", "member_meronym", COMPOSITIONAL },
    { "%s", "substance_meronym", COMPOSITIONAL },
    { "%p", "part_meronym", COMPOSITIONAL },
    { "*", "entailment", CAUSAL },
    { ">", "cause", CAUSAL },
    { "!", "antonym", SEMANTIC },
    { "&", "similar_to", SEMANTIC },
    { "+", "derivation", SEMANTIC },
    { "<", "participle", SEMANTIC },
    { "=", "attribute", SEMANTIC },
    { "^", "also_see", SEMANTIC },
    { "$", "verb_group", SEMANTIC },
    { ";c", "domain_topic", SEMANTIC },
    { ";r", "domain_region", SEMANTIC },
    { ";u", "domain_usage", SEMANTIC },
    { "-c", "member_of_domain_topic", SEMANTIC },
    { "-r", "member_of_domain_region", SEMANTIC },
    { "-u", "member_of_domain_usage", SEMANTIC },
};

/* One symbol means two things: of an adjective and of an adverb. */
static const struct relation PERTAINYM = { "\\", "pertainym", SEMANTIC };
static const struct relation DERIVED_FROM = { "\\", "derived_from", SEMANTIC };

struct token {
    const char *at;
    size_t length;
};

struct pointer {
    const struct relation *relation;
    struct token target; /* eight digits */
    char target_pos;
    unsigned long words; /* source word × 256 + target word; 0: between the synsets */
};

/* The state of parsing one line. */
struct synset {
    const char *next; /* unread part of the line */
    const char *end;
    char pos; /* n v a r */
    struct arena *arena;
    struct pointer *pointers;
    Sutra__V1__ConceptInput *item;
    struct status *st;
};

static bool refuse(struct synset *s, const char *what)
{
    status_set(s->st, STATUS_INVALID_ARGUMENT, "not a synset: %s", what);
    return false;
}

static bool out_of_memory(struct synset *s)
{
    status_set(s->st, STATUS_RESOURCE_EXHAUSTED, "the synset is too big");
    return false;
}

/* The next word; false at the end of the line. */
static bool take(struct synset *s, struct token *ret)
{
    const char *space;

    if (s->next >= s->end)
        return false;
    space = memchr(s->next, ' ', (size_t)(s->end - s->next));
    ret->at = s->next;
    ret->length = (size_t)((space != NULL ? space : s->end) - s->next);
    s->next = space != NULL ? space + 1 : s->end;
    return ret->length > 0;
}

/* A number of exactly @digits digits. */
static bool take_number(struct synset *s, size_t digits, int base, unsigned long *ret)
{
    struct token token;
    char text[16];
    char *end;

    if (!take(s, &token) || token.length != digits || digits >= sizeof text || token.at[0] == '-' ||
        token.at[0] == '+')
        return false;
    memcpy(text, token.at, digits);
    text[digits] = '\0';
    *ret = strtoul(text, &end, base);
    return end == text + digits;
}

static bool is_offset(const struct token *token)
{
    for (size_t i = 0; i < token->length; i++)
        if (token->at[i] < '0' || token->at[i] > '9')
            return false;
    return token->length == 8;
}

static bool take_pos(struct synset *s, char *ret)
{
    struct token token;

    if (!take(s, &token) || token.length != 1 || memchr("nvars", token.at[0], 5) == NULL)
        return false;
    *ret = token.at[0] == 's' ? 'a' : token.at[0];
    return true;
}

static char *make_id(struct synset *s, char pos, const struct token *offset)
{
    return arena_printf(s->arena, "wn30:%c%.*s", pos, (int)offset->length, offset->at);
}

static bool parse_head(struct synset *s)
{
    struct token offset;
    unsigned long file;

    if (!take(s, &offset) || !is_offset(&offset))
        return refuse(s, "no offset of eight digits at its beginning");
    if (!take_number(s, 2, 10, &file) || file >= LEXICOGRAPHER_FILE_COUNT)
        return refuse(s, "no lexicographer file behind the offset");
    if (!take_pos(s, &s->pos))
        return refuse(s, "the part of speech is none of n, v, a, r, s");
    s->item->id = make_id(s, s->pos, &offset);
    s->item->category = (char *)LEXICOGRAPHER_FILES[file];
    s->item->source = SOURCE_NAME;
    return s->item->id != NULL || out_of_memory(s);
}

/* "out_of_reach(p)" reads "out of reach": the marker says where an adjective may stand. */
static void append_lemma(struct buf *content, const struct token *word)
{
    size_t length = word->length;

    if (length > 2 && word->at[length - 1] == ')') {
        const char *paren = memchr(word->at, '(', length);
        if (paren != NULL && paren > word->at)
            length = (size_t)(paren - word->at);
    }
    for (size_t i = 0; i < length; i++)
        buf_append_u8(content, (uint8_t)(word->at[i] == '_' ? ' ' : word->at[i]));
}

static bool parse_words(struct synset *s, struct buf *content)
{
    unsigned long count;
    struct token word;
    struct token lex_id;

    if (!take_number(s, 2, 16, &count) || count == 0)
        return refuse(s, "no number of words");
    for (unsigned long i = 0; i < count; i++) {
        if (!take(s, &word) || !take(s, &lex_id))
            return refuse(s, "fewer words than it says");
        if (i > 0)
            buf_append(content, ", ", 2);
        append_lemma(content, &word);
    }
    return true;
}

static const struct relation *find_relation(const struct token *symbol, char pos)
{
    if (symbol->length == 1 && symbol->at[0] == '\\')
        return pos == 'r' ? &DERIVED_FROM : &PERTAINYM;
    for (size_t i = 0; i < sizeof RELATIONS / sizeof RELATIONS[0]; i++)
        if (strlen(RELATIONS[i].symbol) == symbol->length &&
            memcmp(RELATIONS[i].symbol, symbol->at, symbol->length) == 0)
            return &RELATIONS[i];
    return NULL;
}

static bool parse_pointer(struct synset *s, struct pointer *ret)
{
    struct token symbol;

    if (!take(s, &symbol))
        return refuse(s, "fewer pointers than it says");
    ret->relation = find_relation(&symbol, s->pos);
    if (ret->relation == NULL)
        return refuse(s, "a pointer symbol that WordNet 3.0 does not have");
    if (!take(s, &ret->target) || !is_offset(&ret->target))
        return refuse(s, "a pointer without an offset of eight digits");
    if (!take_pos(s, &ret->target_pos))
        return refuse(s, "a pointer to a part of speech that is none of n, v, a, r, s");
    if (!take_number(s, 4, 16, &ret->words))
        return refuse(s, "a pointer without four digits for its words");
    return true;
}

static bool same_pointer(const struct pointer *a, const struct pointer *b)
{
    return a->relation == b->relation && a->target_pos == b->target_pos && a->words == b->words &&
           memcmp(a->target.at, b->target.at, a->target.length) == 0;
}

/* How often the @i-th pointer stands in the line up to itself: 1, and more for a repetition. */
static size_t occurrence(const struct synset *s, size_t i)
{
    size_t count = 1;

    for (size_t j = 0; j < i; j++)
        count += same_pointer(&s->pointers[j], &s->pointers[i]);
    return count;
}

static char *make_label(struct synset *s, size_t i)
{
    const struct pointer *p = &s->pointers[i];
    size_t nth = occurrence(s, i);
    char words[16] = "";
    char repeat[24] = "";

    if (p->words != 0)
        snprintf(words, sizeof words, " %02lx>%02lx", p->words >> 8 & 0xFF, p->words & 0xFF);
    if (nth > 1)
        snprintf(repeat, sizeof repeat, " #%zu", nth);
    if (p->words == 0 && nth == 1)
        return (char *)p->relation->label;
    return arena_printf(s->arena, "%s%s%s", p->relation->label, words, repeat);
}

static bool add_association(struct synset *s, size_t i)
{
    const struct pointer *p = &s->pointers[i];
    Sutra__V1__Association *a = arena_alloc(s->arena, sizeof *a);

    if (a == NULL)
        return out_of_memory(s);
    sutra__v1__association__init(a);
    a->type = p->relation->type;
    a->target = make_id(s, p->target_pos, &p->target);
    a->label = make_label(s, i);
    s->item->associations[s->item->n_associations++] = a;
    return (a->target != NULL && a->label != NULL) || out_of_memory(s);
}

static bool parse_pointers(struct synset *s)
{
    unsigned long count;

    if (!take_number(s, 3, 10, &count))
        return refuse(s, "no number of pointers");
    s->pointers = arena_calloc(s->arena, count, sizeof *s->pointers);
    s->item->associations = arena_calloc(s->arena, count, sizeof *s->item->associations);
    if (s->pointers == NULL || s->item->associations == NULL)
        return out_of_memory(s);
    for (unsigned long i = 0; i < count; i++)
        if (!parse_pointer(s, &s->pointers[i]) || !add_association(s, i))
            return false;
    return true;
}

/* Sentence frames of verbs, "+ frame word" each, are read over. */
static bool skip_frames(struct synset *s)
{
    unsigned long count;
    struct token token;

    if (s->pos != 'v')
        return true;
    if (!take_number(s, 2, 10, &count))
        return refuse(s, "a verb without a number of frames");
    for (unsigned long i = 0; i < 3 * count; i++)
        if (!take(s, &token))
            return refuse(s, "fewer frames than it says");
    return true;
}

/* Where the examples of a gloss begin: 'a definition; "an example"; "another"'. Its end without
 * any. */
static const char *find_examples(const char *gloss, const char *end)
{
    for (const char *at = gloss; end - at >= 3; at++)
        if (memcmp(at, "; \"", 3) == 0)
            return at;
    return end;
}

static bool add_examples(struct synset *s, const char *examples)
{
    char *text;

    if (examples == s->end)
        return true;
    examples += 2; /* "; " */
    text = arena_strndup(s->arena, examples, (size_t)(s->end - examples));
    if (text == NULL)
        return out_of_memory(s);
    return item_add_attribute(s->item, "examples", text, s->arena, s->st) == STATUS_OK;
}

static bool parse_gloss(struct synset *s, struct buf *content)
{
    static const char dash[] = " \u2014 ";
    struct token bar;
    const char *examples;

    if (!take(s, &bar) || bar.length != 1 || bar.at[0] != '|')
        return refuse(s, "no gloss behind '|'");
    while (s->end > s->next && s->end[-1] == ' ')
        s->end--;
    examples = find_examples(s->next, s->end);
    if (examples > s->next) {
        buf_append(content, dash, sizeof dash - 1);
        buf_append(content, s->next, (size_t)(examples - s->next));
    }
    return add_examples(s, examples);
}

static bool parse_line(struct synset *s)
{
    struct buf content = { 0 };
    bool ok;

    ok = parse_head(s) && parse_words(s, &content) && parse_pointers(s) && skip_frames(s) &&
         parse_gloss(s, &content);
    if (ok) {
        s->item->content = content.failed
                               ? NULL
                               : arena_strndup(s->arena, (const char *)content.data, content.size);
        ok = s->item->content != NULL || out_of_memory(s);
    }
    buf_deinit(&content);
    return ok;
}

bool wordnet_line_is_synset(const char *line, size_t length)
{
    return length > 0 && line[0] != ' ';
}

enum status_code wordnet_parse_synset(const char *line, size_t length, struct arena *arena,
                                      Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    struct synset s = { .next = line, .end = line + length, .arena = arena, .st = st };

    if (!utf8_valid(line, length) || memchr(line, '\0', length) != NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "not a synset: not UTF-8 text");
    s.item = arena_alloc(arena, sizeof *s.item);
    if (s.item == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    sutra__v1__concept_input__init(s.item);
    if (parse_line(&s))
        *ret_item = s.item;
    return st->code;
}

/* The four files one behind the other. */

static const char *const FILES[] = { "data.noun", "data.verb", "data.adj", "data.adv", NULL };

struct wordnet {
    char *folder;
    size_t next_file; /* into FILES */
    struct line_reader reader;
    uint64_t bytes_before; /* of the files that are done */
};

static void wordnet_close(void *state)
{
    struct wordnet *wordnet = state;

    if (wordnet == NULL)
        return;
    line_reader_deinit(&wordnet->reader);
    free(wordnet->folder);
    free(wordnet);
}

static enum status_code open_next_file(struct wordnet *wordnet, struct status *st)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", wordnet->folder, FILES[wordnet->next_file]);

    if (length < 0 || (size_t)length >= sizeof path)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the path '%.80s…' is too long",
                          wordnet->folder);
    wordnet->bytes_before += wordnet->reader.bytes_read;
    line_reader_deinit(&wordnet->reader);
    wordnet->next_file++;
    return line_reader_open(&wordnet->reader, path, st);
}

static enum status_code wordnet_open(const char *path, void **ret_state, struct status *st)
{
    struct wordnet *wordnet = calloc(1, sizeof *wordnet);

    if (wordnet == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    wordnet->reader.fd = -1;
    wordnet->folder = strdup(path);
    if (wordnet->folder == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        open_next_file(wordnet, st);
    if (st->code != STATUS_OK) {
        wordnet_close(wordnet);
        return st->code;
    }
    *ret_state = wordnet;
    return STATUS_OK;
}

/* The next line that is a synset, in whichever file; NULL behind the last. */
static enum status_code next_synset_line(struct wordnet *wordnet, const char **ret_line,
                                         size_t *ret_length, struct status *st)
{
    for (;;) {
        if (line_reader_next(&wordnet->reader, ret_line, ret_length, st) != STATUS_OK)
            return st->code;
        if (*ret_line != NULL && wordnet_line_is_synset(*ret_line, *ret_length))
            return STATUS_OK;
        if (*ret_line != NULL)
            continue;
        if (FILES[wordnet->next_file] == NULL)
            return STATUS_OK;
        if (open_next_file(wordnet, st) != STATUS_OK)
            return st->code;
    }
}

static enum status_code wordnet_next(void *state, struct arena *arena,
                                     Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    struct wordnet *wordnet = state;
    const char *line;
    size_t length;

    if (next_synset_line(wordnet, &line, &length, st) != STATUS_OK)
        return st->code;
    if (line == NULL) {
        *ret_item = NULL;
        return STATUS_OK;
    }
    if (wordnet_parse_synset(line, length, arena, ret_item, st) != STATUS_OK)
        return line_reader_wrap(&wordnet->reader, wordnet->reader.line, st);
    return STATUS_OK;
}

static uint64_t wordnet_bytes_read(const void *state)
{
    const struct wordnet *wordnet = state;

    return wordnet->bytes_before + wordnet->reader.bytes_read;
}

const struct source_type wordnet_source = {
    .name = "wordnet",
    .open = wordnet_open,
    .close = wordnet_close,
    .next = wordnet_next,
    .bytes_read = wordnet_bytes_read,
    .line_is_item = wordnet_line_is_synset,
    .files = FILES,
};
