/* Threads of several handles take, acknowledge, release, put back and pop: every message ends once. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "structures.h"

#define MESSAGES 4000
#define CONSUMERS 4

typedef struct run {
    emmap_file *queues[2];
    _Atomic uint64_t ended;
    _Atomic uint8_t seen[MESSAGES];
} run;

typedef struct consumer {
    run *run;
    unsigned id;
} consumer;

static void *produce(void *context)
{
    run *const self = context;
    for (uint64_t i = 0; i < MESSAGES; i++)
        require_ok(push_number(self->queues[0], i, 8 + i % 300));
    return NULL;
}

static void note(run *self, uint64_t number)
{
    require(number < MESSAGES && atomic_fetch_add(&self->seen[number], 1) == 0);
    atomic_fetch_add(&self->ended, 1);
}

/* Ends a delivery in one of several ways. */
static void finish(run *self, emmap_file *queue, uint64_t number, emmap_delivery delivery, unsigned turn)
{
    if (turn % 5 == 0 && delivery.attempt < 3)
        require_ok(emmap_queue_release(queue, delivery.ticket, turn % 2));
    else if (turn % 7 == 0)
        require_ok(emmap_queue_put_back(queue, delivery.ticket));
    else {
        require_ok(emmap_queue_ack(queue, delivery.ticket));
        note(self, number);
    }
}

static void *consume(void *context)
{
    const consumer *const self = context;
    emmap_file *const queue = self->run->queues[self->id % 2];
    for (unsigned turn = self->id; atomic_load(&self->run->ended) < MESSAGES; turn++) {
        pieces got = {0};
        const emmap_sink sink = sink_pieces(&got);
        emmap_delivery delivery = {0};
        const bool pops = turn % 11 == 0;
        const emmap_error error =
            pops ? emmap_queue_pop(queue, &sink) : emmap_queue_take(queue, self->id, &sink, &delivery);
        require(error == EMMAP_OK || error == EMMAP_EOF);
        if (error) {
            sched_yield();
            continue;
        }
        const uint64_t number = number_of(got.list[0].iov_base, got.list[0].iov_len);
        pieces_free(&got);
        if (pops)
            note(self->run, number);
        else
            finish(self->run, queue, number, delivery, turn);
        size_t count;
        if (turn % 50 == 0)
            require_ok(emmap_queue_in_hand(queue, NULL, 0, &count));
    }
    return NULL;
}

static void every_message_ends_once(void **state)
{
    (void)state;
    static run run;
    pthread_t producer, threads[CONSUMERS];
    consumer consumers[CONSUMERS];
    for (int i = 0; i < 2; i++)
        run.queues[i] = open_queue(path_of("jobs"), QUEUE_RW, 4096);
    assert_int_equal(pthread_create(&producer, NULL, produce, &run), 0);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        consumers[i] = (consumer){.run = &run, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, consume, &consumers[i]), 0);
    }
    pthread_join(producer, NULL);
    for (unsigned i = 0; i < CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    size_t count;
    assert_ok(emmap_queue_in_hand(run.queues[0], NULL, 0, &count));
    assert_int_equal(count, 0);
    for (int i = 0; i < 2; i++)
        close_file(run.queues[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {folder_test(every_message_ends_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
