/*
 * Takes, acknowledges, releases and puts back through two handles, while another writer changes bytes of the file of messages in
 * hand and cuts it. Whatever that file holds, no operation crashes, hangs or asks for much memory, and the queue itself goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subject.h"
#include "taken_layout.h"

enum { HANDLES = 2, TICKETS = 8 };

typedef struct world {
    emmap_file *queues[HANDLES];
    uint64_t tickets[TICKETS];
    unsigned turn;
    char path[64];
    char taken[80];
} world;

static void open_handle(world *self, unsigned which)
{
    const emmap_options options = {
        .flags = EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED, .size = 4096};
    emmap_free(self->queues[which]);
    self->queues[which] = NULL;
    require(emmap_queue_open(self->path, &options, &self->queues[which]) == EMMAP_OK);
}

static void *keep(void *context, size_t length)
{
    void **const place = context;
    require(length < 64 << 20);
    free(*place);
    return *place = malloc(length);
}

static void push(emmap_file *queue, uint8_t seed)
{
    uint8_t bytes[600];
    memset(bytes, seed, sizeof bytes);
    const struct iovec vector = {.iov_base = bytes, .iov_len = 8 + (size_t)seed * 2};
    require(emmap_queue_push(queue, &vector, 1) == EMMAP_OK);
}

static void take(world *self, emmap_file *queue)
{
    void *memory = NULL;
    const emmap_sink sink = {.allocate = keep, .context = &memory};
    emmap_delivery delivery;
    if (emmap_queue_take(queue, self->turn % 3, &sink, &delivery) == EMMAP_OK)
        self->tickets[self->turn++ % TICKETS] = delivery.ticket;
    free(memory);
}

static void pop(emmap_file *queue, uint64_t limit)
{
    void *memory = NULL;
    uint64_t count;
    const emmap_sink sink = {.allocate = keep, .context = &memory};
    (void)emmap_queue_pop_many(queue, limit, &sink, &count);
    free(memory);
}

static void look(emmap_file *queue)
{
    void *memory = NULL;
    uint64_t length;
    size_t count;
    emmap_in_hand entries[4];
    const emmap_sink sink = {.allocate = keep, .context = &memory};
    (void)emmap_queue_in_hand(queue, entries, 4, &count);
    (void)emmap_queue_peek_front(queue, &sink);
    (void)emmap_queue_length(queue, &length);
    free(memory);
}

/* Where the numbers are: in the header, in the owners, and in the first cells. */
static size_t place_of(uint8_t area, uint16_t at)
{
    switch (area % 4) {
    case 0:
        return at % 104;
    case 1:
        return offsetof(taken_file_t, owner) + at % 128;
    case 2:
        return offsetof(taken_file_t, cell) + at % 8 * TAKEN_CELL + (size_t)(at >> 3) % 72;
    default:
        return offsetof(taken_file_t, cell) + at % (64 * TAKEN_CELL);
    }
}

static void poke(const world *self, script *from)
{
    const uint8_t area = script_byte(from);
    const uint16_t at = script_short(from);
    const uint8_t value = script_byte(from);
    const int fd = open(self->taken, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    require(pwrite(fd, &value, 1, (off_t)place_of(area, at)) == 1);
    close(fd);
}

static void act(world *self, script *from)
{
    const uint8_t action = script_byte(from), argument = script_byte(from);
    emmap_file *const queue = self->queues[argument % HANDLES];
    const uint64_t ticket = self->tickets[argument / HANDLES % TICKETS];
    uint64_t count;
    struct stat about;
    switch (action % 16) {
    case 0:
        push(queue, argument);
        break;
    case 1:
    case 2:
    case 3:
        take(self, queue);
        break;
    case 4:
        (void)emmap_queue_ack(queue, ticket);
        break;
    case 5:
        (void)emmap_queue_release(queue, ticket, argument % 3);
        break;
    case 6:
        (void)emmap_queue_put_back(queue, ticket);
        break;
    case 7:
        (void)emmap_queue_release_held(queue, argument % 3);
        break;
    case 8:
        (void)emmap_queue_release_all(queue, &count);
        break;
    case 9:
        pop(queue, argument % 5);
        break;
    case 10:
        if (argument % 4 == 3)
            (void)emmap_queue_repair(queue, &count);
        look(queue);
        break;
    case 11:
        open_handle(self, argument % HANDLES);
        break;
    case 12:
        (void)(argument % 4 ? emmap_queue_purge(queue) : emmap_queue_erase(queue));
        break;
    case 13:
        if (argument % 16 == 0 && stat(self->taken, &about) == 0)
            require(truncate(self->taken, about.st_size / 2) == 0);
        break;
    default:
        poke(self, from);
    }
}

/* The queue's own messages come and go, whatever the other file holds. */
static void require_usable(world *self)
{
    bool empty = false;
    open_handle(self, 0);
    for (int i = 0; i < 10000 && !empty; i++) {
        pop(self->queues[0], 100);
        require(emmap_queue_is_empty(self->queues[0], &empty) == EMMAP_OK);
    }
    push(self->queues[0], 9);
    push(self->queues[0], 10);
    uint64_t length = 0;
    require(emmap_queue_length(self->queues[0], &length) == EMMAP_OK && length >= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world self;
    script from = {data, size};
    memset(&self, 0, sizeof self);
    snprintf(self.path, sizeof self.path, "/dev/shm/fuzz_taken.%d", (int)getpid());
    snprintf(self.taken, sizeof self.taken, "%s-taken", self.path);
    unlink(self.path);
    unlink(self.taken);
    for (unsigned i = 0; i < HANDLES; i++)
        open_handle(&self, i);
    for (uint8_t i = 1; i < 7; i++)
        push(self.queues[0], (uint8_t)(i * 40));
    take(&self, self.queues[0]);
    take(&self, self.queues[1]);
    while (from.left > 0)
        act(&self, &from);
    require_usable(&self);
    unlink(self.path);
    for (unsigned i = 0; i < HANDLES; i++)
        emmap_free(self.queues[i]);
    unlink(self.taken);
    return 0;
}
