/*
 * Cuts the power between any two of the kernel's writes of a synced queue and of its file of messages in hand. Each sector of each file may
 * have any version since that file's last fsync. Afterwards every message that was synced and not acknowledged since is delivered, and
 * none that was acknowledged before the last sync. With SECONDS and SEED it runs for that time, and prints one line of JSON.
 */
#define _GNU_SOURCE
#include <time.h>

#include "disks.h"

#define NUMBERS 4096u

static uint64_t violations;

/* ---- What must be there ---- */

typedef struct message {
    bool pushed;  /* for certain */
    bool ending;  /* an acknowledgement or a pop of it has begun */
    bool ended;   /* and has returned */
    bool durable; /* a sync that began after the push has returned */
    bool gone;    /* a sync that began after it ended has returned */
} message;

static message messages[NUMBERS];
static uint64_t next_number;

static void violation(const char *what, uint64_t number)
{
    if (violations++ < 10)
        fprintf(stderr, "power loss: %s (%llu)\n", what, (unsigned long long)number);
}

/* The number of a message, or NUMBERS for one that is torn: it was never synced. */
static uint64_t number_in(const struct iovec *bytes)
{
    uint64_t number;
    uint8_t expected[700];
    if (bytes->iov_len < sizeof number || bytes->iov_len > sizeof expected)
        return NUMBERS;
    memcpy(&number, bytes->iov_base, sizeof number);
    fill_message(expected, number, bytes->iov_len);
    return number < NUMBERS && memcmp(expected, bytes->iov_base, bytes->iov_len) == 0 ? number : NUMBERS;
}

/* Takes and acknowledges all that is there after the cut. */
static void check_image(const char *path)
{
    static bool got[NUMBERS];
    memset(got, 0, sizeof got);
    emmap_file *queue;
    const emmap_options options = {.flags = QUEUE_RW | EMMAP_OPEN_EXCLUSIVE};
    if (emmap_queue_open(path, &options, &queue) != EMMAP_OK) {
        violation("the queue can't be opened", 0);
        return;
    }
    emmap_error error = EMMAP_OK;
    while (!error) {
        pieces piece = {0};
        const emmap_sink sink = sink_pieces(&piece);
        emmap_delivery delivery;
        error = emmap_queue_take(queue, 0, &sink, &delivery);
        const uint64_t number = error ? NUMBERS : number_in(&piece.list[0]);
        if (number < NUMBERS && got[number] && messages[number].durable)
            violation("a message is delivered twice", number);
        if (number < NUMBERS)
            got[number] = true;
        if (!error)
            error = emmap_queue_ack(queue, delivery.ticket);
        pieces_free(&piece);
    }
    /* A message that was not synced may be torn. */
    bool all = true;
    for (uint64_t i = 0; i < next_number; i++)
        all &= !messages[i].durable || messages[i].ending || got[i];
    if (error != EMMAP_EOF && !(error == EMMAP_CORRUPT && all))
        violation(emmap_error_name(error), 0);
    for (uint64_t i = 0; i < next_number; i++) {
        if (messages[i].durable && !messages[i].ending && !got[i])
            violation("a synced message is lost", i);
        if (messages[i].gone && got[i])
            violation("an acknowledged message came back", i);
    }
    emmap_free(queue);
}

static void cut(void)
{
    disks_cut(path_of("cut"), check_image);
}

/* ---- The work ---- */

#define HELD 64u

typedef struct held {
    uint64_t number;
    uint64_t ticket;
} held;

static held hand[HELD];
static size_t in_hand;

static void push_one(emmap_file *queue)
{
    const uint64_t number = next_number++;
    require(number < NUMBERS);
    require_ok(push_number(queue, number, 8 + 8 * (number % 80)));
    messages[number].pushed = true;
}

static void take_one(emmap_file *queue)
{
    pieces got = {0};
    const emmap_sink sink = sink_pieces(&got);
    emmap_delivery delivery;
    const emmap_error error = in_hand < HELD ? emmap_queue_take(queue, 0, &sink, &delivery) : EMMAP_EOF;
    require(error == EMMAP_OK || error == EMMAP_EOF);
    if (!error)
        hand[in_hand++] = (held){.number = number_in(&got.list[0]), .ticket = delivery.ticket};
    pieces_free(&got);
}

static void end_one(emmap_file *queue, uint64_t way)
{
    if (in_hand == 0)
        return;
    const size_t i = below(in_hand);
    const held one = hand[i];
    hand[i] = hand[--in_hand];
    if (way == 0)
        require_ok(emmap_queue_release(queue, one.ticket, 0));
    else if (way == 1)
        require_ok(emmap_queue_put_back(queue, one.ticket));
    else {
        messages[one.number].ending = true;
        require_ok(emmap_queue_ack(queue, one.ticket));
        messages[one.number].ended = true;
    }
}

static void sync_all(emmap_file *queue)
{
    static message before[NUMBERS];
    memcpy(before, messages, sizeof before);
    require_ok(emmap_sync(queue));
    for (uint64_t i = 0; i < next_number; i++) {
        messages[i].durable |= before[i].pushed;
        messages[i].gone |= before[i].ended;
    }
}

static void give_all_back(emmap_file *queue)
{
    uint64_t count;
    require_ok(emmap_queue_release_all(queue, &count));
    in_hand = 0;
}

static void run(size_t operations)
{
    disks_begin(path_of("jobs"), "-taken");
    memset(messages, 0, sizeof messages);
    next_number = in_hand = 0;
    emmap_file *const queue = open_queue(path_of("jobs"), QUEUE_RW, 8192);
    recording = true;
    pause_hook = at_pause;
    for (size_t i = 0; i < operations; i++) {
        const uint64_t what = below(100);
        if (what < 35)
            push_one(queue);
        else if (what < 62)
            take_one(queue);
        else if (what < 90)
            end_one(queue, below(6));
        else if (what < 91)
            give_all_back(queue);
        else if (what < 97)
            sync_all(queue);
        else
            cut();
    }
    recording = false;
    pause_hook = NULL;
    emmap_free(queue);
}

static void a_synced_message_is_delivered_until_it_is_acknowledged(void **state)
{
    (void)state;
    random_state = 1;
    for (int i = 0; i < 3; i++)
        run(150);
    assert_int_equal(violations, 0);
    assert_true(images > 100);
}

/* For the torture. */
static int run_for(time_t seconds, uint64_t seed)
{
    const time_t end = time(NULL) + seconds;
    void *state;
    random_state = seed;
    folder_make(&state);
    do
        run(300);
    while (time(NULL) < end && violations == 0);
    folder_remove(&state);
    printf("{\"images\":%llu,\"violations\":%llu}\n", (unsigned long long)images,
           (unsigned long long)violations);
    return violations == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run_for(strtol(argv[1], NULL, 10),
                       argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL));
    const struct CMUnitTest tests[] = {folder_test(a_synced_message_is_delivered_until_it_is_acknowledged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
