#include <assert.h>

#include "src/store/store_internal.h"

/* The low bits of the hash choose the slot, so a shard sees only some of them: take the high. */
void stripes_add(struct stripes *set, const struct concept_id *id)
{
    unsigned stripe = (unsigned)(id->hash >> 52);

    static_assert(STRIPE_COUNT == 1 << (64 - 52), "the stripe is the hash's upper 12 bits");
    set->bits[stripe / 64] |= UINT64_C(1) << (stripe % 64);
}

bool stripes_contain(const struct stripes *set, const struct stripes *subset)
{
    for (size_t i = 0; i < STRIPE_WORDS; i++)
        if ((subset->bits[i] & ~set->bits[i]) != 0)
            return false;
    return true;
}

static void each_stripe(struct store *store, const struct stripes *set,
                        int (*action)(pthread_mutex_t *mutex))
{
    for (unsigned word = 0; word < STRIPE_WORDS; word++)
        for (uint64_t bits = set->bits[word]; bits != 0; bits &= bits - 1)
            action(&store->stripes[word * 64 + (unsigned)__builtin_ctzll(bits)]);
}

void store_lock(struct store *store, const struct stripes *set)
{
    each_stripe(store, set, pthread_mutex_lock);
}

void store_unlock(struct store *store, const struct stripes *set)
{
    each_stripe(store, set, pthread_mutex_unlock);
}
