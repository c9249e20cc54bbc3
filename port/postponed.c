#include "postponed.h"

#include "protocol.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_REST = 50, LONGEST_REST = 10000 }; /* µs */
static const size_t MOST_BYTES = 64 << 20;

typedef struct postponed {
    struct postponed *next;
    postponed_work_t *work;
    uint64_t lane; /* the handle that it waits at; 0: none */
    int64_t due;   /* when it is to be tried, in µs */
    int64_t rest;  /* how long it has rested last */
    bool is_cancelled;
} postponed_t;

static postponed_t *first, **end = &first;
static size_t count, bytes;
static uint64_t pass;
static int64_t soonest = INT64_MAX; /* when the next one is to be tried */

static int64_t now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void append(postponed_t *self)
{
    self->next = NULL;
    *end = self;
    end = &self->next;
}

/* Enters the lane's requests, or leaves them. */
static void count_in_lane(const postponed_t *self, handles_t *files, int change)
{
    handle_slot_t *const slot = handles_slot(files, self->lane);
    if (slot)
        slot->waiting += (uint32_t)change;
}

bool postponed_add(postponed_work_t *work, handles_t *files, uint64_t lane)
{
    postponed_t *const self = malloc(sizeof *self);
    if (!self)
        return false;
    *self = (postponed_t){.work = work, .lane = lane, .rest = FIRST_REST, .due = now() + FIRST_REST};
    if (self->due < soonest)
        soonest = self->due;
    count_in_lane(self, files, 1);
    append(self);
    count++;
    bytes += work->bytes;
    return true;
}

/* True if another request of the same file goes on waiting before it. */
static bool is_behind(const postponed_t *self, const handles_t *files)
{
    const handle_slot_t *const slot = handles_slot(files, self->lane);
    return slot && slot->pass == pass;
}

static void keep_others_behind(const postponed_t *self, const handles_t *files)
{
    handle_slot_t *const slot = handles_slot(files, self->lane);
    if (slot)
        slot->pass = pass;
}

/* Cuts it off. `place` is where the list names it. */
static void cut(postponed_t *self, postponed_t **place)
{
    *place = self->next;
    if (end == &self->next)
        end = place;
}

static void finish(postponed_t *self, postponed_t **place, handles_t *files)
{
    count_in_lane(self, files, -1);
    cut(self, place);
    count--;
    bytes -= self->work->bytes;
    self->work->free(self->work);
    free(self);
}

/* Does it. False: it goes on waiting. */
static bool attempt(postponed_t *self, handles_t *files, reply_t *out)
{
    if (self->is_cancelled && self->work->cancel(self->work, out))
        return true;
    self->is_cancelled = false;
    files->turn = self->lane;
    const bool is_done = self->work->attempt(self->work, files, out);
    files->turn = 0;
    return is_done;
}

/* It rests until it is tried again. A batch may have come to another file: it then waits behind those that do already. */
static bool rest(postponed_t *self, postponed_t **place, handles_t *files, uint64_t lane)
{
    self->rest = 2 * self->rest < LONGEST_REST ? 2 * self->rest : LONGEST_REST;
    self->due = now() + self->rest;
    if (lane == self->lane)
        return false;
    count_in_lane(self, files, -1);
    self->lane = lane;
    count_in_lane(self, files, 1);
    cut(self, place);
    append(self);
    return true;
}

void postponed_retry(handles_t *files, reply_t *out)
{
    if (!first)
        return;
    const int64_t time = now();
    soonest = INT64_MAX;
    pass++;
    for (postponed_t **place = &first, *each; (each = *place);) {
        bool has_moved = false;
        if (each->is_cancelled || (each->due <= time && !is_behind(each, files))) {
            if (attempt(each, files, out)) {
                finish(each, place, files);
                continue;
            }
            has_moved = rest(each, place, files, out->lane);
        }
        if (has_moved)
            continue;
        if (!is_behind(each, files) && each->due < soonest)
            soonest = each->due;
        keep_others_behind(each, files);
        place = &each->next;
    }
}

int64_t postponed_rest(void)
{
    if (!first)
        return -1;
    const int64_t left = soonest - now();
    return left < FIRST_REST ? FIRST_REST : left;
}

bool postponed_is_full(void)
{
    return count >= POSTPONED_LIMIT || bytes >= MOST_BYTES;
}

bool postponed_is_empty(void)
{
    return !first;
}

static postponed_t *find(term_t id)
{
    for (postponed_t *each = first; each; each = each->next)
        if (each->work->id.length == id.length && memcmp(each->work->id.bytes, id.bytes, id.length) == 0)
            return each;
    return NULL;
}

bool postponed_has(term_t id)
{
    return find(id);
}

void postponed_cancel(term_t id)
{
    postponed_t *const found = find(id);
    if (!found)
        return;
    found->is_cancelled = true;
    soonest = 0;
}

void postponed_free(void)
{
    while (first) {
        postponed_t *const self = first;
        first = self->next;
        self->work->free(self->work);
        free(self);
    }
    end = &first;
    count = bytes = 0;
}
