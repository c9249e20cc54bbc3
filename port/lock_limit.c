#include "lock_limit.h"

static uint64_t limit = EMMAP_NO_LIMIT;

void lock_limit_set(uint64_t milliseconds)
{
    limit = milliseconds;
    emmap_lock_limit(milliseconds);
}

uint64_t lock_limit_get(void)
{
    return limit;
}

void lock_limit_suspend(uint64_t milliseconds)
{
    emmap_lock_limit(milliseconds);
}

void lock_limit_restore(const reply_t *out)
{
    emmap_lock_limit(out->postpones ? 0 : limit);
}

void lock_limit_postpone(reply_t *out, bool postpones)
{
    out->postpones = postpones;
    lock_limit_restore(out);
}
