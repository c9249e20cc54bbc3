/*
 * Limits: how often something may happen for a key in a window of time. Windows follow each other from 1970 on, the
 * same for all keys. An entry has two words:
 *
 *   word 0   the number of the window modulo 2^16; the use in the window before and in this window, 24 bits each
 *   word 1   when the entry expires, in ms since 1970
 *
 * A hit changes word 0 by one compare-and-swap, and so needs no lock. Word 1 is stored before: a hit that finds an
 * entry expired takes its word 0 for 0, and must not do so after another one has begun a window.
 *
 * The clock is the system's time, since it is the same in all containers and goes on through a restart. If it is set
 * back, windows that have begun "later" count as over; if it is set forward, they are over.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "error.h"
#include "pause.h"
#include "table.h"

#define COUNT_BITS 24
#define COUNT_MASK (((uint64_t)1 << COUNT_BITS) - 1)
#define WINDOW_MASK UINT64_C(0xffff)

int64_t emi_table_clock_shift;

/* Units that an insertion looks at for expired entries, and a full table at the most. */
enum { SWEEP = 4, SWEEP_FULL = 65536 };

static uint64_t now_ms(void)
{
    struct timespec now;
#ifdef CLOCK_REALTIME_COARSE
    /* Some ms late, and much cheaper. */
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
#else
    clock_gettime(CLOCK_REALTIME, &now);
#endif
    return (uint64_t)((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + emi_table_clock_shift);
}

typedef struct moment {
    uint64_t now;
    uint64_t window; /* its number */
    uint64_t left;   /* ms to its end */
    uint64_t expiry; /* of an entry that is hit now */
} moment_t;

static moment_t moment_of(const emmap_table_limit *limit)
{
    const uint64_t now = now_ms();
    const uint64_t window = now / limit->window_ms;
    const uint64_t left = limit->window_ms - now % limit->window_ms;
    const uint64_t after = limit->flags & EMMAP_TABLE_SLIDING ? limit->window_ms : 0;
    return (moment_t){.now = now, .window = window, .left = left, .expiry = now + left + after};
}

static void answer(const emmap_table_limit *limit, const moment_t *moment, uint64_t used, bool allowed,
                   emmap_table_hit_result *result)
{
    result->allowed = allowed;
    result->used = used;
    result->remaining = used < limit->limit ? limit->limit - used : 0;
    result->reset_ms = moment->left;
}

/* Counts a hit. False: another hit was faster. */
static bool try_hit(_Atomic int64_t *words, const emmap_table_limit *limit, const moment_t *moment,
                    emmap_table_hit_result *result)
{
    int64_t word = atomic_load(&words[0]);
    const uint64_t expiry = (uint64_t)atomic_load(&words[1]);
    const uint64_t state = (uint64_t)word;
    const uint64_t since = (moment->window - (state >> 2 * COUNT_BITS)) & WINDOW_MASK;
    const bool over = expiry <= moment->now || expiry > moment->expiry || since > 1;
    const bool sliding = limit->flags & EMMAP_TABLE_SLIDING;
    const uint64_t last = state & COUNT_MASK;
    uint64_t before = over ? 0 : since == 0 ? state >> COUNT_BITS & COUNT_MASK : last;
    uint64_t used = over || since == 1 ? 0 : last;
    if (!sliding)
        before = 0;
    const uint64_t weighed = before == 0 ? 0 : before * moment->left / limit->window_ms;
    const uint64_t all = used + weighed;
    const uint64_t cost = limit->cost > 0 ? (uint64_t)limit->cost : 0;
    const uint64_t back = limit->cost < 0 ? (uint64_t)-limit->cost : 0;
    const uint64_t given = back < used ? back : used;
    const bool allowed = cost == 0 || all + cost <= limit->limit;
    if (!allowed || cost + given == 0) {
        answer(limit, moment, all, allowed, result);
        return true;
    }
    if (expiry != moment->expiry)
        atomic_store(&words[1], (int64_t)moment->expiry);
    PAUSE("table_hit_expiry");
    const uint64_t next =
        (moment->window & WINDOW_MASK) << 2 * COUNT_BITS | before << COUNT_BITS | (used + cost - given);
    if (!atomic_compare_exchange_strong(&words[0], &word, (int64_t)next))
        return false;
    PAUSE("table_hit_done");
    answer(limit, moment, all + cost - given, true, result);
    return true;
}

static void hit(_Atomic int64_t *words, const emmap_table_limit *limit, const moment_t *moment,
                emmap_table_hit_result *result)
{
    while (!try_hit(words, limit, moment, result))
        ;
}

/* ---- Expired entries ---- */

/* Deletes the entry of a unit. Errors: EMMAP_CORRUPT. */
static emmap_error expel(operation_t *operation, uint32_t number)
{
    uint8_t bytes[TABLE_KEY_MAX];
    table_key_t key;
    table_place_t place;
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    const uint32_t length = emi_table_copy_key(shape, data, number, bytes);
    emmap_error error = emi_table_key(shape, bytes, length, &key);
    if (!error)
        error = emi_table_find(shape, data, &key, &place);
    if (!error && place.unit == number)
        return emi_table_delete(operation, &place);
    return emi_operation_corrupt(operation, TABLE_HEADER, "an entry of the table is in no chain");
}

/* Looks at `count` units from the hand on, and deletes those entries that have expired: all, or one. *soonest is
 * set to the unit, or 0, of the entry that expires first among the others. */
static emmap_error sweep(operation_t *operation, const moment_t *moment, uint32_t count, bool one,
                         uint32_t *soonest)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_header_t *const header = table_header(operation->mapping);
    uint64_t first = UINT64_MAX;
    *soonest = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = header->hand % shape->units + 1;
        header->hand = number;
        table_unit_t *const unit = table_unit(shape, data, number);
        if (!table_is_alive(atomic_load_explicit(&unit->generation, memory_order_relaxed)) ||
            !(*table_length(shape, unit) & TABLE_LIMITED))
            continue;
        const uint64_t expiry = (uint64_t)atomic_load_explicit(&unit->words[1], memory_order_relaxed);
        if (expiry > moment->now) {
            if (expiry < first) {
                first = expiry;
                *soonest = number;
            }
            continue;
        }
        const emmap_error error = expel(operation, number);
        if (error || one)
            return error;
    }
    if (count >= shape->units)
        header->none_expires_before = first;
    return EMMAP_OK;
}

/* Makes room for a key in a full table. Errors: EMMAP_FULL; EMMAP_CORRUPT. */
static emmap_error make_room(operation_t *operation, const emmap_table_limit *limit, const moment_t *moment,
                             uint32_t count)
{
    const table_shape_t *const shape = table_shape(operation);
    table_header_t *const header = table_header(operation->mapping);
    const bool evict = limit->flags & EMMAP_TABLE_EVICT;
    while (header->used + count > shape->capacity) {
        if (!evict && header->none_expires_before > moment->now && header->none_expires_before != UINT64_MAX)
            break;
        const uint64_t used = header->used;
        uint32_t soonest;
        emmap_error error =
            sweep(operation, moment, shape->units < SWEEP_FULL ? shape->units : SWEEP_FULL, true, &soonest);
        if (!error && header->used == used && evict && soonest != 0)
            error = expel(operation, soonest);
        if (error)
            return error;
        if (header->used == used)
            break;
    }
    return header->used + count <= shape->capacity
               ? EMMAP_OK
               : emi_error_set(EMMAP_FULL,
                               "the table has as many keys as its capacity, and none has expired");
}

/* Inserts an entry that was hit. One that is not allowed leaves nothing. */
static emmap_error insert_hit(operation_t *operation, const table_key_t *key, const emmap_table_limit *limit,
                              const moment_t *moment, emmap_table_hit_result *result)
{
    table_header_t *const header = table_header(operation->mapping);
    _Atomic int64_t first[2] = {0, 0};
    table_place_t place;
    uint32_t soonest;
    emmap_error error = sweep(operation, moment, SWEEP, false, &soonest);
    hit(first, limit, moment, result);
    if (error || !result->allowed || limit->cost <= 0)
        return error;
    const int64_t words[TABLE_WORDS_MAX] = {first[0], first[1]};
    error = make_room(operation, limit, moment, table_units_for(table_shape(operation), key->length));
    if (!error)
        error = emi_table_insert(operation, key, TABLE_LIMITED, words, &place);
    if (moment->expiry < header->none_expires_before)
        header->none_expires_before = moment->expiry;
    return error;
}

static emmap_error hit_locked(operation_t *operation, const table_key_t *key, const emmap_table_limit *limit,
                              const moment_t *moment, emmap_table_hit_result *result)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_place_t place;
    const emmap_error error = emi_table_find(shape, data, key, &place);
    if (!error && place.unit == 0)
        return insert_hit(operation, key, limit, moment, result);
    if (!error)
        hit(table_unit(shape, data, place.unit)->words, limit, moment, result);
    return error;
}

static emmap_error check_limit(const table_t *self, const emmap_table_limit *limit)
{
    if (self->shape.words < 2)
        return emi_error_set(EINVAL, "a limit needs entries of two words");
    if (limit->limit > COUNT_MASK || limit->cost > (int64_t)COUNT_MASK ||
        limit->cost < -(int64_t)COUNT_MASK || limit->window_ms == 0 || limit->window_ms > (uint64_t)1 << 40)
        return emi_error_set(EINVAL, "limit and cost are below 2^24, and a window has from 1 to 2^40 ms");
    return EMMAP_OK;
}

emmap_error emmap_table_hit(emmap_file *file, const void *bytes, size_t length,
                            const emmap_table_limit *limit, emmap_table_hit_result *result)
{
    container_t *base;
    table_key_t key;
    visit_t visit;
    table_place_t place = {0};
    operation_t operation;
    *result = (emmap_table_hit_result){0};
    emmap_error error = emi_container_get(file, CONTAINER_TABLE, &base);
    const table_t *const self = (const table_t *)base;
    if (!error && !file_may_write(file))
        error = emi_error_set(EACCES, "the file is open for reading only");
    if (!error)
        error = check_limit(self, limit);
    if (!error)
        error = emi_table_key(&self->shape, bytes, length, &key);
    if (!error)
        error = visit_begin(file, &visit);
    if (error)
        return error;
    const moment_t moment = moment_of(limit);
    uint8_t *const data = visit.mapping->data;
    bool done = false;
    error = emi_table_find(&self->shape, data, &key, &place);
    if (!error && place.unit != 0) {
        hit(table_unit(&self->shape, data, place.unit)->words, limit, &moment, result);
        done = table_is_same(&self->shape, data, &place);
    }
    const emmap_error fault = visit_end(file, &visit);
    if (fault || done || (error && error != EBUSY))
        return fault ? fault : error;
    error = emi_table_begin(file, &operation);
    return error ? error
                 : emi_operation_end(&operation, hit_locked(&operation, &key, limit, &moment, result));
}
