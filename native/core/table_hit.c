/*
 * Limits: how often something may happen for a key in a window of time. Windows follow each other from 1970 on, the
 * same for all keys. An entry has two words:
 *
 *   word 0   the number of the window modulo 2^16; the use in the window before and in this window, 24 bits each
 *   word 1   when the entry expires, in ms since 1970
 *
 * A hit changes word 0 by one compare-and-swap, and so needs no lock. It reads the clock after the words: the hit that wrote
 * them had read it before, so that no window is later than the hit's. Word 1 is changed first, also by compare-and-swap,
 * and so never goes back to an earlier window. A hit that finds an entry expired begins anew under the lock, under which
 * expired entries are deleted.
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

/* Units that are looked at for expired entries: by an insertion, in a full table, and before an entry gives its place
 * that has not expired. */
enum { SWEEP = 4, SWEEP_FULL = 65536, SWEEP_EVICT = 512 };

/* So many ms after a search in vain there may be an expired entry again: another hit may have shortened its window. */
enum { SWEEP_AGAIN = 1000 };

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
    uint64_t latest; /* of an entry that a sliding limit hits now */
} moment_t;

static moment_t moment_of(const emmap_table_limit *limit)
{
    const uint64_t now = now_ms();
    const uint64_t window = now / limit->window_ms;
    const uint64_t left = limit->window_ms - now % limit->window_ms;
    const uint64_t end = now + left;
    const uint64_t latest = end + limit->window_ms;
    const uint64_t expiry = limit->flags & EMMAP_TABLE_SLIDING ? latest : end;
    return (moment_t){.now = now, .window = window, .left = left, .expiry = expiry, .latest = latest};
}

static void answer(const emmap_table_limit *limit, const moment_t *moment, uint64_t used, bool allowed,
                   emmap_table_hit_result *result)
{
    result->allowed = allowed;
    result->used = used;
    result->remaining = used < limit->limit ? limit->limit - used : 0;
    result->reset_ms = moment->left;
}

typedef enum tried { TRIED_DONE, TRIED_AGAIN, TRIED_NEEDS_LOCK } tried_t;

/* A hit's entry: words that nobody deletes, or those of a place that was found without the lock. */
typedef struct target {
    _Atomic int64_t *words;
    const table_shape_t *shape;
    uint8_t *data;
    const table_place_t *place; /* NULL: the lock is held */
} target_t;

/* TRIED_AGAIN: another hit was faster. Inlined: the limit and the place then stay in registers. */
__attribute__((always_inline)) static inline tried_t
try_hit(const target_t *target, const emmap_table_limit *limit, emmap_table_hit_result *result)
{
    _Atomic int64_t *const words = target->words;
    int64_t word = atomic_load(&words[0]);
    int64_t end = atomic_load(&words[1]);
    const moment_t moment = moment_of(limit);
    /* The words may be another key's by now. */
    if (target->place &&
        ((uint64_t)end <= moment.now || !table_is_same(target->shape, target->data, target->place)))
        return TRIED_NEEDS_LOCK;
    const uint64_t expiry = (uint64_t)end;
    const uint64_t state = (uint64_t)word;
    const uint64_t since = (moment.window - (state >> 2 * COUNT_BITS)) & WINDOW_MASK;
    const bool over = expiry <= moment.now || expiry > moment.latest || since > 1;
    const bool sliding = limit->flags & EMMAP_TABLE_SLIDING;
    const uint64_t last = state & COUNT_MASK;
    const uint64_t before = over ? 0 : since == 0 ? state >> COUNT_BITS & COUNT_MASK : last;
    const uint64_t used = over || since == 1 ? 0 : last;
    const uint64_t weighed = !sliding || before == 0 ? 0 : before * moment.left / limit->window_ms;
    /* Hits that slide and hits that do not may share a key. */
    const uint64_t later = !over && expiry > moment.expiry ? expiry : moment.expiry;
    const uint64_t all = used + weighed;
    const uint64_t cost = limit->cost > 0 ? (uint64_t)limit->cost : 0;
    const uint64_t back = limit->cost < 0 ? (uint64_t)-limit->cost : 0;
    const uint64_t given = back < used ? back : used;
    const bool allowed = cost == 0 || all + cost <= limit->limit;
    if (!allowed || cost + given == 0) {
        answer(limit, &moment, all, allowed, result);
        return TRIED_DONE;
    }
    if (expiry != later && !atomic_compare_exchange_strong(&words[1], &end, (int64_t)later))
        return TRIED_AGAIN;
    PAUSE("table_hit_expiry");
    const uint64_t next =
        (moment.window & WINDOW_MASK) << 2 * COUNT_BITS | before << COUNT_BITS | (used + cost - given);
    if (!atomic_compare_exchange_strong(&words[0], &word, (int64_t)next))
        return TRIED_AGAIN;
    PAUSE("table_hit_done");
    answer(limit, &moment, all + cost - given, true, result);
    return TRIED_DONE;
}

/* Counts a hit. False: it needs the lock. */
static bool hit(const target_t *target, const emmap_table_limit *limit, emmap_table_hit_result *result)
{
    tried_t tried;
    while ((tried = try_hit(target, limit, result)) == TRIED_AGAIN)
        ;
    return tried == TRIED_DONE;
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

/* The entry that expires first. */
typedef struct soonest {
    uint32_t unit; /* 0: none */
    uint64_t expiry;
} soonest_t;

/* Looks at `count` units from the hand on, and deletes those entries that have expired: all, or one. Remembers the
 * entry among the others that expires first. */
static emmap_error sweep(operation_t *operation, uint64_t now, uint32_t count, bool one, soonest_t *soonest)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_header_t *const header = table_header(operation->mapping);
    *soonest = (soonest_t){.expiry = UINT64_MAX};
    for (uint32_t i = 0; i < count && i < shape->units; i++) {
        const uint32_t number = header->hand % shape->units + 1;
        header->hand = number;
        table_unit_t *const unit = table_unit(shape, data, number);
        if (!table_is_alive(atomic_load_explicit(&unit->generation, memory_order_relaxed)) ||
            !(*table_length(shape, unit) & TABLE_LIMITED))
            continue;
        const uint64_t expiry = (uint64_t)atomic_load_explicit(&unit->words[1], memory_order_relaxed);
        if (expiry > now) {
            if (expiry < soonest->expiry)
                *soonest = (soonest_t){number, expiry};
            continue;
        }
        const emmap_error error = expel(operation, number);
        if (error || one)
            return error;
    }
    return EMMAP_OK;
}

/* Some units were looked at in vain. Once all were, nobody looks for a while. */
static void swept_in_vain(table_header_t *header, const table_shape_t *shape, uint64_t now, uint64_t expiry)
{
    if (header->swept == 0 || expiry < header->swept_expiry)
        header->swept_expiry = expiry;
    header->swept += SWEEP_FULL;
    if (header->swept < shape->units)
        return;
    header->swept = 0;
    header->none_expires_before =
        header->swept_expiry < now + SWEEP_AGAIN ? header->swept_expiry : now + SWEEP_AGAIN;
}

emmap_error emi_table_make_room(operation_t *operation, uint32_t units, bool evict)
{
    const table_shape_t *const shape = table_shape(operation);
    table_header_t *const header = table_header(operation->mapping);
    if (header->used + units <= shape->capacity)
        return EMMAP_OK;
    const uint64_t now = now_ms();
    emmap_error error = EMMAP_OK;
    uint64_t used = UINT64_MAX;
    while (!error && header->used + units > shape->capacity && header->used < used) {
        soonest_t soonest = {0};
        used = header->used;
        if (evict)
            error = sweep(operation, now, SWEEP_EVICT, true, &soonest);
        else if (header->none_expires_before > now)
            break;
        if (!error && header->used == used && soonest.unit == 0)
            error = sweep(operation, now, SWEEP_FULL, true, &soonest);
        if (error || header->used < used)
            continue;
        if (evict && soonest.unit != 0)
            error = expel(operation, soonest.unit);
        else
            swept_in_vain(header, shape, now, soonest.expiry);
    }
    if (error)
        return error;
    return header->used + units <= shape->capacity
               ? EMMAP_OK
               : emi_error_set(EMMAP_FULL,
                               "the table has as many keys as its capacity, and none has expired");
}

/* Inserts an entry that was hit. One that is not allowed leaves nothing. */
static emmap_error insert_hit(operation_t *operation, const table_key_t *key, const emmap_table_limit *limit,
                              emmap_table_hit_result *result)
{
    table_header_t *const header = table_header(operation->mapping);
    _Atomic int64_t first[2] = {0, 0};
    table_place_t place;
    soonest_t soonest;
    emmap_error error = sweep(operation, now_ms(), SWEEP, false, &soonest);
    (void)hit(&(target_t){.words = first}, limit, result);
    if (error || !result->allowed || limit->cost <= 0)
        return error;
    const int64_t words[TABLE_WORDS_MAX] = {first[0], first[1]};
    error = emi_table_make_room(operation, table_units_for(table_shape(operation), key->length),
                                limit->flags & EMMAP_TABLE_EVICT);
    if (!error)
        error = emi_table_insert(operation, key, TABLE_LIMITED, words, &place);
    if ((uint64_t)words[1] < header->none_expires_before)
        header->none_expires_before = (uint64_t)words[1];
    return error;
}

static emmap_error hit_locked(operation_t *operation, const table_key_t *key, const emmap_table_limit *limit,
                              emmap_table_hit_result *result)
{
    const table_shape_t *const shape = table_shape(operation);
    uint8_t *const data = operation->mapping->data;
    table_place_t place;
    const emmap_error error = emi_table_find(shape, data, key, &place);
    if (!error && place.unit == 0)
        return insert_hit(operation, key, limit, result);
    if (!error)
        (void)hit(&(target_t){.words = table_unit(shape, data, place.unit)->words}, limit, result);
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
    uint8_t *const data = visit.mapping->data;
    bool done = false;
    error = emi_table_find(&self->shape, data, &key, &place);
    if (!error && place.unit != 0) {
        const target_t target = {table_unit(&self->shape, data, place.unit)->words, &self->shape, data,
                                 &place};
        done = hit(&target, limit, result) && table_is_same(&self->shape, data, &place);
    }
    const emmap_error fault = visit_end(file, &visit);
    if (fault || done || (error && error != EBUSY))
        return fault ? fault : error;
    error = emi_table_begin(file, &operation);
    return error ? error : emi_operation_end(&operation, hit_locked(&operation, &key, limit, result));
}
