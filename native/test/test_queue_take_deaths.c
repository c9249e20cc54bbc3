/* Kills a process between any two stores of a delivery. Afterwards every message that was pushed and not acknowledged is delivered,
 * once, and no other one. The message in progress may be there or not. */
#include <time.h>

#include "clock.h"
#include "deaths.h"

typedef enum step {
    OPEN,      /* another handle of the queue in the victim: the old one is closed */
    PUSH,      /* the next number */
    PUSH_LONG, /* the same, in many cells */
    TAKE,      /* the lowest number that is not in hand */
    ACK,       /* the delivery that was taken first */
    ACK_LAST,  /* the one that was taken last */
    RELEASE,   /* the first one */
    DELAY,     /* the same, for 1 ms, and then waits until it is due */
    PUT_BACK,  /* the first one */
    PUT_BACK_LAST,
    POP,
    RELEASE_ALL,
    STEAL, /* another handle takes, and is closed */
    REPAIR,
    SYNC
} step;

/* clang-format off */
static const step script[] = {
    OPEN, PUSH, PUSH, PUSH, PUSH,
    TAKE, PUT_BACK, TAKE, TAKE, ACK, RELEASE, TAKE, TAKE, ACK_LAST, PUT_BACK,
    TAKE, PUT_BACK_LAST, TAKE, PUSH, PUT_BACK, TAKE, DELAY, POP,
    STEAL, TAKE, REPAIR, OPEN, TAKE, ACK,
    /* Before the head there is room for some of them, and then there is none. */
    PUSH, PUSH, PUSH, TAKE, TAKE, RELEASE, RELEASE_ALL, PUSH, PUSH, TAKE, TAKE, TAKE, PUSH, PUSH, PUSH, PUSH,
    PUSH, PUSH, PUSH, PUSH, PUSH, PUSH, RELEASE_ALL, TAKE, RELEASE_ALL,
    /* The queue is empty then. */
    POP, POP, POP, POP, POP, POP, POP, POP, POP, POP, POP, POP, TAKE, TAKE, TAKE, RELEASE_ALL, POP, POP, POP,
    /* More than 4 MiB in hand. */
    PUSH_LONG, PUSH_LONG, PUSH_LONG, PUSH_LONG, PUSH_LONG, PUSH_LONG, TAKE, TAKE, TAKE, TAKE, TAKE, TAKE,
    ACK, RELEASE, ACK, ACK, ACK, ACK, TAKE, ACK, PUSH, TAKE, ACK,
    SYNC, PUSH, PUSH, PUSH, TAKE, TAKE, ACK, RELEASE, TAKE, PUT_BACK, TAKE, RELEASE_ALL, POP, POP,
};
/* clang-format on */

#define NUMBERS 100
#define LONG_MESSAGE (900 * 1024)

typedef enum place { NOWHERE, IN_QUEUE, IN_HAND } place;

/* The messages after some steps. */
typedef struct model {
    place place[NUMBERS];
    uint64_t taken[NUMBERS]; /* in hand: the time of the take */
    uint64_t next;           /* the next number to push */
    uint64_t clock;
    uint64_t subject; /* the number that the last step was about; NUMBERS: none */
} model;

static uint64_t find(const model *self, place place, bool last)
{
    uint64_t found = NUMBERS;
    for (uint64_t i = 0; i < self->next; i++) {
        if (self->place[i] != place)
            continue;
        /* Numbers are taken in their order. */
        if (place == IN_QUEUE)
            return i;
        if (found == NUMBERS || (self->taken[i] < self->taken[found]) != last)
            found = i;
    }
    return found;
}

static void move(model *self, place from, bool last, place to)
{
    self->subject = find(self, from, last);
    require(self->subject < NUMBERS);
    self->place[self->subject] = to;
    if (to == IN_HAND)
        self->taken[self->subject] = self->clock;
}

static void follow(model *self, step step)
{
    self->clock++;
    self->subject = NUMBERS;
    switch (step) {
    case PUSH:
    case PUSH_LONG:
        self->subject = self->next++;
        self->place[self->subject] = IN_QUEUE;
        break;
    case TAKE:
        move(self, IN_QUEUE, false, IN_HAND);
        break;
    case ACK:
        move(self, IN_HAND, false, NOWHERE);
        break;
    case ACK_LAST:
        move(self, IN_HAND, true, NOWHERE);
        break;
    case RELEASE:
    case DELAY:
    case PUT_BACK:
        move(self, IN_HAND, false, IN_QUEUE);
        break;
    case PUT_BACK_LAST:
        move(self, IN_HAND, true, IN_QUEUE);
        break;
    case POP:
        move(self, IN_QUEUE, false, NOWHERE);
        break;
    case OPEN:
    case RELEASE_ALL:
        for (uint64_t i = 0; i < self->next; i++)
            if (self->place[i] == IN_HAND)
                self->place[i] = IN_QUEUE;
        break;
    case STEAL:
    case REPAIR:
    case SYNC:
        break;
    }
}

static model model_after(uint64_t steps)
{
    model self = {0};
    for (uint64_t i = 0; i < steps; i++)
        follow(&self, script[i]);
    return self;
}

/* ---- The victim ---- */

static emmap_file *open_jobs(void)
{
    return open_queue(path_of("jobs"), QUEUE_RW, 400);
}

static void push_long(emmap_file *queue, uint64_t number)
{
    static uint8_t bytes[LONG_MESSAGE];
    fill_message(bytes, number, sizeof bytes);
    const struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
    require_ok(emmap_queue_push(queue, &vector, 1));
}

static emmap_error take_one(emmap_file *queue, uint64_t *number, uint64_t *ticket)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    emmap_delivery delivery;
    const emmap_error error = emmap_queue_take(queue, 7, &sink, &delivery);
    if (!error)
        *number = number_of(got.list[0].iov_base, got.list[0].iov_len);
    *ticket = delivery.ticket;
    pieces_free(&got);
    return error;
}

static void wait_until_due(emmap_file *queue)
{
    emmap_in_hand entries[NUMBERS];
    size_t count;
    require_ok(emmap_queue_in_hand(queue, entries, NUMBERS, &count));
    for (size_t i = 0; i < count; i++)
        while (clock_now() < entries[i].due)
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

static void act(emmap_file **queue, step step, const model *after, uint64_t *tickets)
{
    uint64_t number = NUMBERS, ticket, count;
    emmap_file *other;
    switch (step) {
    case OPEN:
        emmap_free(*queue);
        *queue = open_jobs();
        break;
    case PUSH:
        require_ok(push_number(*queue, after->subject, 24));
        break;
    case PUSH_LONG:
        push_long(*queue, after->subject);
        break;
    case TAKE:
        require_ok(take_one(*queue, &number, &ticket));
        require(number == after->subject);
        tickets[number] = ticket;
        break;
    case ACK:
    case ACK_LAST:
        require_ok(emmap_queue_ack(*queue, tickets[after->subject]));
        break;
    case RELEASE:
        require_ok(emmap_queue_release(*queue, tickets[after->subject], 0));
        break;
    case DELAY:
        require_ok(emmap_queue_release(*queue, tickets[after->subject], 1));
        wait_until_due(*queue);
        break;
    case PUT_BACK:
    case PUT_BACK_LAST:
        require_ok(emmap_queue_put_back(*queue, tickets[after->subject]));
        break;
    case POP:
        require_ok(pop_number(*queue, &number));
        require(number == after->subject);
        break;
    case RELEASE_ALL:
        require_ok(emmap_queue_release_all(*queue, &count));
        break;
    case STEAL:
        other = open_jobs();
        require_ok(take_one(other, &number, &ticket));
        emmap_free(other);
        break;
    case REPAIR:
        require_ok(emmap_queue_repair(*queue, &count));
        require(count == 0);
        break;
    case SYNC:
        require_ok(emmap_sync(*queue));
        break;
    }
}

static void run_script(void *context)
{
    (void)context;
    emmap_file *queue = NULL;
    model now = {0};
    uint64_t tickets[NUMBERS] = {0};
    for (uint64_t i = 0; i < COUNT_OF(script); i++) {
        deaths->started = i + 1;
        follow(&now, script[i]);
        act(&queue, script[i], &now, tickets);
        deaths->done = i + 1;
    }
    emmap_free(queue);
}

/* ---- The test ---- */

static bool same(const bool *got, model expected)
{
    for (uint64_t i = 0; i < NUMBERS; i++)
        if (got[i] != (expected.place[i] != NOWHERE))
            return false;
    return true;
}

/* Takes and acknowledges all messages. */
static void check(emmap_file *queue)
{
    bool got[NUMBERS] = {0};
    uint64_t number, ticket;
    emmap_error error;
    wait_until_due(queue);
    while ((error = take_one(queue, &number, &ticket)) == EMMAP_OK) {
        assert_true(number < NUMBERS && !got[number]);
        got[number] = true;
        assert_ok(emmap_queue_ack(queue, ticket));
    }
    assert_error(EMMAP_EOF, error);
    assert_true(same(got, model_after(deaths->done)) || same(got, model_after(deaths->started)));
    size_t left;
    assert_ok(emmap_queue_in_hand(queue, NULL, 0, &left));
    assert_int_equal(left, 0);
    for (uint64_t i = 0; i < 3; i++)
        assert_ok(push_number(queue, i, 24));
    for (uint64_t i = 0; i < 3; i++) {
        assert_ok(take_one(queue, &number, &ticket));
        assert_int_equal(number, i);
        assert_ok(emmap_queue_ack(queue, ticket));
    }
}

static void recover(void *context)
{
    (void)context;
    emmap_file *const queue = open_jobs();
    uint64_t number, ticket;
    const emmap_error error = take_one(queue, &number, &ticket);
    require(error == EMMAP_OK || error == EMMAP_EOF);
    emmap_free(queue);
}

#define NAME(point) #point,
static const char *const points[] = {TAKE_PAUSE_POINTS(NAME)};

static bool is_listed(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(points); i++)
        if (strcmp(points[i], name) == 0)
            return true;
    return false;
}

/* The points of the queue itself are test_queue_deaths.c's. */
static void die_at_take_points(const char *name)
{
    const bool listed = is_listed(name);
    require(listed || !begins_with(name, "take"));
    if (listed)
        count_or_die(name);
}

static void prepare(void)
{
    deaths = shared_memory(sizeof *deaths);
    point_names = points;
    point_count = COUNT_OF(points);
    counted = die_at_take_points;
}

static void forget_queue(void)
{
    unlink(path_of("jobs"));
    unlink(path_of("jobs-taken"));
    deaths->started = deaths->done = 0;
}

static void a_delivery_survives_death_at_every_store(void **state)
{
    (void)state;
    prepare();
    for (uint64_t target = 1;; target++) {
        forget_queue();
        if (!dies_at(target, run_script, NULL))
            break;
        /* The process that recovers it may die too, and again. That takes most of the time. */
        for (uint64_t again = 1; target % 4 == 0 && dies_at(again, recover, NULL); again++)
            ;
        emmap_file *const queue = open_jobs();
        check(queue);
        close_file(queue);
    }
    assert_int_equal(deaths->done, COUNT_OF(script));
    assert_all_points_hit();
}

static void a_handle_that_was_open_goes_on_after_a_death(void **state)
{
    (void)state;
    prepare();
    for (uint64_t target = 1;; target++) {
        forget_queue();
        emmap_file *const queue = open_jobs();
        const bool died = dies_at(target, run_script, NULL);
        check(queue);
        close_file(queue);
        if (!died)
            break;
    }
    assert_int_equal(deaths->done, COUNT_OF(script));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(a_delivery_survives_death_at_every_store),
        folder_test(a_handle_that_was_open_goes_on_after_a_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
