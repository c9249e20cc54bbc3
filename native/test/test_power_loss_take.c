/*
 * Cuts the power between any two of the kernel's writes of a synced queue and of its file of messages in hand. Each sector of each file may
 * have any version since that file's last fsync. Afterwards every message that was synced and not acknowledged since is delivered, and
 * none that was acknowledged before the last sync. With SECONDS and SEED it runs for that time, and prints one line of JSON.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <time.h>

#include "structures.h"

#define SECTOR 512u
#define NUMBERS 4096u
#define VERSIONS 2048u

/* ---- What the disk may have ---- */

typedef struct version {
    uint8_t *bytes;
    size_t length;
} version;

/* A file with its versions since its last fsync. */
typedef struct disk {
    char path[200];
    ino_t inode;
    version versions[VERSIONS];
    size_t count;
} disk;

static disk disks[2];
static bool recording;
static uint64_t random_state, images, violations;

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t below(uint64_t limit)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % limit;
}

static void forget(disk *self, size_t keep)
{
    while (self->count > keep)
        free(self->versions[--self->count].bytes);
}

static void record(disk *self)
{
    struct stat about;
    const int fd = open(self->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    require(fstat(fd, &about) == 0 && self->count < VERSIONS);
    version now = {.length = (size_t)about.st_size, .bytes = malloc((size_t)about.st_size + 1)};
    require(now.bytes && pread(fd, now.bytes, now.length, 0) == about.st_size);
    close(fd);
    self->inode = about.st_ino;
    const version *const last = self->count ? &self->versions[self->count - 1] : NULL;
    if (last && last->length == now.length && memcmp(last->bytes, now.bytes, now.length) == 0)
        free(now.bytes);
    else
        self->versions[self->count++] = now;
}

static void cut(void);

static void at_pause(const char *name)
{
    (void)name;
    if (!recording)
        return;
    record(&disks[0]);
    record(&disks[1]);
    if (below(12) == 0)
        cut();
}

/* The core calls these in place of libc's functions. */
static int synced(int fd)
{
    struct stat about;
    if (!recording || fstat(fd, &about) != 0)
        return 0;
    for (size_t i = 0; i < 2; i++) {
        record(&disks[i]);
        if (disks[i].inode != about.st_ino || disks[i].count == 0)
            continue;
        const version last = disks[i].versions[--disks[i].count];
        forget(&disks[i], 0);
        disks[i].versions[disks[i].count++] = last;
    }
    return 0;
}

int fsync(int fd)
{
    return synced(fd);
}

int fdatasync(int fd)
{
    return synced(fd);
}

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

static void write_image(const char *path, const disk *from)
{
    if (from->count == 0) {
        unlink(path);
        return;
    }
    const size_t length = from->versions[below(from->count)].length;
    uint8_t *const image = calloc(1, length + SECTOR);
    require(image != NULL);
    for (size_t at = 0; at < length; at += SECTOR) {
        /* Mostly the oldest or the newest version. */
        const uint64_t which = below(4);
        const version *const chosen = &from->versions[which == 0   ? 0
                                                      : which == 1 ? from->count - 1
                                                                   : below(from->count)];
        if (at < chosen->length)
            memcpy(image + at, chosen->bytes + at,
                   chosen->length - at < SECTOR ? chosen->length - at : SECTOR);
    }
    put_file(path, image, length);
    free(image);
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
    recording = false;
    for (int i = 0; i < 4; i++) {
        write_image(path_of("cut"), &disks[0]);
        write_image(path_of("cut-taken"), &disks[1]);
        check_image(path_of("cut"));
        unlink(path_of("cut"));
        unlink(path_of("cut-taken"));
        images++;
    }
    recording = true;
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
    for (size_t i = 0; i < 2; i++) {
        snprintf(disks[i].path, sizeof disks[i].path, "%s%s", path_of("jobs"), i ? "-taken" : "");
        unlink(disks[i].path);
        forget(&disks[i], 0);
    }
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
