#include "src/embed/tokenizer.h"

#include "src/embed/vocabulary.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    WORD_MAX_CHARS = 100, /* longer words are [UNK] */
    WORD_MAX_BYTES = WORD_MAX_CHARS * 4,
    DECOMPOSITION_MAX = 18, /* code points of one NFD expansion; Unicode's longest is 4 */
    REPLACEMENT = 0xFFFD,
};

enum special { UNK, CLS, SEP, PAD, MASK, N_SPECIALS };

static const char *const special_names[N_SPECIALS] = { "[UNK]", "[CLS]", "[SEP]", "[PAD]",
                                                       "[MASK]" };

struct tokenizer {
    struct vocabulary *vocabulary;
    uint32_t special_ids[N_SPECIALS];
};

/* The word being collected, in canonical order. It is [UNK] once it is too long, so that its
 * characters beyond the limit are counted and not kept. */
struct word {
    int32_t chars[WORD_MAX_CHARS];
    size_t n_chars;
    size_t run_start; /* where a combining character may not be sorted past */
};

/* One call of tokenizer_encode(). */
struct encoding {
    const struct tokenizer *tokenizer;
    uint32_t *ids;
    size_t n_ids;
    size_t max_ids; /* [SEP] comes on top */
    struct word word;
};

static void emit(struct encoding *e, uint32_t id)
{
    if (e->n_ids < e->max_ids)
        e->ids[e->n_ids++] = id;
}

static bool is_full(const struct encoding *e)
{
    return e->n_ids == e->max_ids;
}

/* The word as bytes; starts[i] is where character i starts, starts[n_chars] the end. */
struct word_bytes {
    char bytes[WORD_MAX_BYTES];
    size_t starts[WORD_MAX_CHARS + 1];
};

static void word_to_bytes(const struct word *word, struct word_bytes *ret)
{
    size_t size = 0;

    for (size_t i = 0; i < word->n_chars; i++) {
        ret->starts[i] = size;
        size += (size_t)utf8proc_encode_char(word->chars[i], (utf8proc_uint8_t *)ret->bytes + size);
    }
    ret->starts[word->n_chars] = size;
}

/* The longest piece that begins at character @from; *ret_end is the character after it. */
static uint32_t longest_piece(const struct vocabulary *vocabulary, const struct word_bytes *word,
                              size_t n_chars, size_t from, size_t *ret_end)
{
    const char *start = word->bytes + word->starts[from];

    for (size_t end = n_chars; end > from; end--) {
        size_t length = word->starts[end] - word->starts[from];
        if (length > vocabulary_longest(vocabulary))
            continue;
        uint32_t id = vocabulary_find(vocabulary, start, length, from > 0);
        if (id != VOCABULARY_NONE) {
            *ret_end = end;
            return id;
        }
    }
    return VOCABULARY_NONE;
}

/* False when some part of the word is no piece; ret_ids has room for one per character. */
static bool split_word(const struct vocabulary *vocabulary, const struct word *word,
                       uint32_t *ret_ids, size_t *ret_n)
{
    struct word_bytes bytes;
    size_t n = 0;

    word_to_bytes(word, &bytes);
    for (size_t from = 0; from < word->n_chars;) {
        uint32_t id = longest_piece(vocabulary, &bytes, word->n_chars, from, &from);
        if (id == VOCABULARY_NONE)
            return false;
        ret_ids[n++] = id;
    }
    *ret_n = n;
    return true;
}

static void end_word(struct encoding *e)
{
    struct word *word = &e->word;
    uint32_t ids[WORD_MAX_CHARS];
    size_t n = 0;

    if (word->n_chars == 0)
        return;
    if (word->n_chars > WORD_MAX_CHARS || !split_word(e->tokenizer->vocabulary, word, ids, &n))
        emit(e, e->tokenizer->special_ids[UNK]);
    for (size_t i = 0; i < n; i++)
        emit(e, ids[i]);
    word->n_chars = word->run_start = 0;
}

/* Appends in canonical order (The Unicode Standard, §3.11, D109): sorted by combining class back
 * to the last starter. */
static void add_to_word(struct word *word, int32_t c, int combining_class)
{
    size_t i = word->n_chars++;

    if (word->n_chars > WORD_MAX_CHARS)
        return;
    if (combining_class == 0)
        word->run_start = word->n_chars;
    else
        while (i > word->run_start &&
               utf8proc_get_property(word->chars[i - 1])->combining_class > combining_class) {
            word->chars[i] = word->chars[i - 1];
            i--;
        }
    word->chars[i] = c;
}

static bool is_bert_space(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return true;
    default:
        return c == '\t' || c == '\n' || c == '\r';
    }
}

/* Dropped from the text: NUL, what stands for ill-formed bytes, and everything that is neither
 * white space nor visible. */
static bool is_bert_control(int32_t c)
{
    if (c == 0 || c == REPLACEMENT)
        return true;
    if (c == '\t' || c == '\n' || c == '\r')
        return false;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        return true;
    default:
        return false;
    }
}

/* BERT takes every visible ASCII character that is no letter or digit for punctuation, "$" and
 * "^" too. */
static bool is_bert_punctuation(int32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    utf8proc_category_t category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* The ideographs BERT treats as words of one character: not kana, not Hangul. The sixth block
 * begins at U+2B820 in Unicode and in BERT's own code; the reference has U+2B920, so do we. */
static bool is_cjk_ideograph(int32_t c)
{
    static const struct {
        int32_t first, last;
    } blocks[] = {
        { 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },   { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
        { 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF }, { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F },
    };

    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (c >= blocks[i].first && c <= blocks[i].last)
            return true;
    return false;
}

/* A decomposed character: accents go, the rest is lower-cased and put where it belongs. */
static void take_decomposed(struct encoding *e, int32_t c)
{
    const utf8proc_property_t *property = utf8proc_get_property(c);

    if (property->category == UTF8PROC_CATEGORY_MN) {
        if (property->combining_class == 0)
            e->word.run_start = e->word.n_chars;
        return;
    }
    c = utf8proc_tolower(c);
    if (is_bert_space(c)) {
        end_word(e);
    } else if (is_bert_punctuation(c)) {
        end_word(e);
        add_to_word(&e->word, c, 0);
        end_word(e);
    } else {
        add_to_word(&e->word, c, property->combining_class);
    }
}

static void take_non_ascii(struct encoding *e, int32_t c)
{
    int32_t parts[DECOMPOSITION_MAX];
    int boundary_class = 0; /* only used for composed clusters, which we do not ask for */
    bool is_word = is_cjk_ideograph(c);
    utf8proc_ssize_t n =
        utf8proc_decompose_char(c, parts, DECOMPOSITION_MAX, UTF8PROC_DECOMPOSE, &boundary_class);

    assert(n >= 0 && n <= DECOMPOSITION_MAX);
    if (is_word)
        end_word(e);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        take_decomposed(e, parts[i]);
    if (is_word)
        end_word(e);
}

static void take_char(struct encoding *e, int32_t c)
{
    if (is_bert_control(c))
        return;
    if (c < 0x80)
        take_decomposed(e, c);
    else
        take_non_ascii(e, c);
}

/* The special token that begins here, or N_SPECIALS. */
static enum special special_at(const char *text, size_t length)
{
    enum special i = 0;

    if (text[0] != '[')
        return N_SPECIALS;
    while (i < N_SPECIALS) {
        size_t size = strlen(special_names[i]);
        if (size <= length && memcmp(text, special_names[i], size) == 0)
            break;
        i++;
    }
    return i;
}

/* Takes one special token or one character; returns its bytes. */
static size_t take_next(struct encoding *e, const char *text, size_t length)
{
    enum special special = special_at(text, length);
    int32_t c;

    if (special != N_SPECIALS) {
        end_word(e);
        emit(e, e->tokenizer->special_ids[special]);
        return strlen(special_names[special]);
    }
    utf8proc_ssize_t size =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &c);
    if (size <= 0)
        return 1;
    take_char(e, c);
    return (size_t)size;
}

size_t tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                        uint32_t *ret_ids, size_t max_ids)
{
    struct encoding e;

    assert(max_ids >= 2);
    e.tokenizer = tokenizer;
    e.ids = ret_ids;
    e.n_ids = 0;
    e.max_ids = max_ids - 1;
    e.word.n_chars = e.word.run_start = 0;

    emit(&e, tokenizer->special_ids[CLS]);
    for (size_t i = 0; i < length && !is_full(&e);)
        i += take_next(&e, text + i, length - i);
    end_word(&e);
    ret_ids[e.n_ids] = tokenizer->special_ids[SEP];
    return e.n_ids + 1;
}

static enum status_code find_specials(struct tokenizer *t, struct status *st)
{
    for (size_t i = 0; i < N_SPECIALS; i++) {
        const char *name = special_names[i];
        t->special_ids[i] = vocabulary_find(t->vocabulary, name, strlen(name), false);
        if (t->special_ids[i] == VOCABULARY_NONE)
            return status_set(st, STATUS_INVALID_ARGUMENT, "no token %s", name);
    }
    return STATUS_OK;
}

enum status_code tokenizer_open(const char *vocab_path, struct tokenizer **ret_tokenizer,
                                struct status *st)
{
    struct tokenizer *t = calloc(1, sizeof *t);

    if (t == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (vocabulary_open(vocab_path, &t->vocabulary, st) != STATUS_OK)
        goto out;
    if (find_specials(t, st) != STATUS_OK) {
        status_wrap(st, "vocabulary '%s'", vocab_path);
        goto out;
    }
    *ret_tokenizer = t;
    t = NULL;
out:
    tokenizer_close(t);
    return st->code;
}

void tokenizer_close(struct tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    vocabulary_close(tokenizer->vocabulary);
    free(tokenizer);
}

size_t tokenizer_size(const struct tokenizer *tokenizer)
{
    return vocabulary_size(tokenizer->vocabulary);
}
