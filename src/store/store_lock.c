#include "src/store/store_internal.h"

/* The low bits of the hash choose the slot, so a shard sees only some of them: take the high. */
void stripes_add(struct stripes *set, const struct concept_id *id)
{
    unsigned stripe = (unsigned)(id->hash >> 56);

    set->bits[stripe / 64] |= UINT64_C(1) << (stripe % 64);
}

bool stripes_contain(const struct stripes *set, const struct stripes *subset)
{
    for (size_t i = 0; i < STRIPE_WORDS; i++)
        if ((subset->bits[i] & ~set->bits[i]) != 0)
            return false;
    return true;
}

static bool stripes_has(const struct stripes *set, size_t stripe)
{
    return (set->bits[stripe / 64] >> (stripe % 64) & 1) != 0;
}

void store_lock(struct store *store, const struct stripes *set)
{
    for (size_t i = 0; i < STRIPE_COUNT; i++)
        if (stripes_has(set, i))
            pthread_mutex_lock(&store->stripes[i]);
}

void store_unlock(struct store *store, const struct stripes *set)
{
    for (size_t i = 0; i < STRIPE_COUNT; i++)
        if (stripes_has(set, i))
            pthread_mutex_unlock(&store->stripes[i]);
}
