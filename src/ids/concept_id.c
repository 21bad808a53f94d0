#include "src/ids/concept_id.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/base/size.h"
#include "src/base/utf8.h"

struct concept_id concept_id_trusted(const char *data, size_t length)
{
    uint64_t hash = XXH3_64bits(data, length);

    return (struct concept_id){
        .data = data,
        .length = length,
        .hash = hash,
        .slot = (uint16_t)(hash % SLOT_COUNT),
    };
}

enum status_code concept_id_parse(const char *data, size_t length, struct concept_id *ret,
                                  struct status *st)
{
    if (length == 0)
        return status_set_field(st, "id", "id is empty; it takes 1 to %d bytes",
                                CONCEPT_ID_MAX_BYTES);
    if (length > CONCEPT_ID_MAX_BYTES)
        return status_set_field(st, "id", "id has %zu bytes, the limit is %d", length,
                                CONCEPT_ID_MAX_BYTES);
    if (!utf8_valid(data, length) || memchr(data, '\0', length) != NULL)
        return status_set_field(st, "id", "id is not UTF-8 text");
    *ret = concept_id_trusted(data, length);
    return STATUS_OK;
}

void concept_id_of_content(const char *content, size_t length,
                           char ret_hex[CONCEPT_ID_CONTENT_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_size = 0;
    int ok = EVP_Digest(content, length, digest, &digest_size, EVP_sha256(), NULL);

    assert(ok == 1 && digest_size * 2 >= CONCEPT_ID_CONTENT_HEX);
    (void)ok;
    for (size_t i = 0; i < CONCEPT_ID_CONTENT_HEX / 2; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[CONCEPT_ID_CONTENT_HEX] = '\0';
}

int concept_id_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t common = size_min(a_length, b_length);
    int order = common == 0 ? 0 : memcmp(a, b, common); /* an empty text may be NULL */

    if (order != 0)
        return order;
    return (a_length > b_length) - (a_length < b_length);
}
