/*
 * Pushes with numbers through two handles, while another writer changes bytes of the file of origins, cuts it, and puts marks of numbered
 * pushes into the queue's header. Whatever that file holds, no operation crashes, hangs or asks for much memory, and the queue itself
 * goes on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relayed.h"
#include "subject.h"

enum { HANDLES = 2 };

typedef struct world {
    emmap_file *queues[HANDLES];
    char path[64];
    char relayed[80];
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

static void pop(emmap_file *queue)
{
    void *memory = NULL;
    const emmap_sink sink = {.allocate = keep, .context = &memory};
    const emmap_error error = emmap_queue_pop(queue, &sink);
    require(error == EMMAP_OK || error == EMMAP_EOF);
    free(memory);
}

static void push_once(emmap_file *queue, uint8_t origin, uint64_t number, size_t count)
{
    static uint8_t bytes[40];
    const uint8_t name[EMMAP_ORIGIN_SIZE] = {origin % 4};
    struct iovec messages[4];
    uint64_t last = 0, length = 0, after = 0;
    for (size_t i = 0; i < count; i++)
        messages[i] = (struct iovec){.iov_base = bytes, .iov_len = 1 + (origin + i) % sizeof bytes};
    require(emmap_queue_length(queue, &length) == EMMAP_OK);
    const emmap_error error = emmap_queue_push_once(queue, name, number, messages, count, &last);
    require(emmap_queue_length(queue, &after) == EMMAP_OK);
    require(after == (error == EMMAP_OK && number > last ? length + count : length));
}

static void write_to(const char *path, const void *bytes, size_t length, size_t at)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    require(pwrite(fd, bytes, length, (off_t)at) == (ssize_t)length);
    close(fd);
}

/* Mostly where the numbers are. */
static void poke(const world *self, script *from)
{
    const uint16_t at = script_short(from);
    const uint8_t value = script_byte(from);
    write_to(self->relayed, &value, 1, at % 4 ? at % 192 : at);
}

/* The mark, with what is pending as the script says. */
static void mark(const world *self, script *from, bool synced)
{
    emmap_queue_metadata info;
    uint8_t bytes[4];
    require(emmap_queue_info(self->queues[0], &info) == EMMAP_OK);
    if (info.size - info.tail < QUEUE_NUMBERED_ROOM)
        return;
    const uint64_t number = script_byte(from);
    const uint32_t slot = script_byte(from) % 8, tail = (uint32_t)info.tail;
    write_to(self->relayed, &number, sizeof number, offsetof(relayed_head_t, number));
    write_to(self->relayed, &slot, sizeof slot, offsetof(relayed_head_t, slot));
    write_to(self->relayed, &tail, sizeof tail, offsetof(relayed_head_t, tail));
    queue_store32(bytes, tail + (synced ? 7 : 5));
    write_to(self->path, bytes, sizeof bytes, 12);
}

static void act(world *self, script *from)
{
    const uint8_t action = script_byte(from), argument = script_byte(from);
    emmap_file *const queue = self->queues[argument % HANDLES];
    struct stat about;
    switch (action % 8) {
    case 0:
    case 1:
        push_once(queue, argument, script_byte(from), argument % 5);
        break;
    case 2:
        pop(queue);
        break;
    case 3:
        mark(self, from, argument % 2);
        break;
    case 4:
        open_handle(self, argument % HANDLES);
        break;
    case 5:
        if (argument % 16 == 0 && stat(self->relayed, &about) == 0)
            require(truncate(self->relayed, about.st_size / 2) == 0);
        else if (argument % 16 == 1)
            unlink(self->relayed);
        break;
    default:
        poke(self, from);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world self;
    script from = {data, size};
    memset(&self, 0, sizeof self);
    snprintf(self.path, sizeof self.path, "/dev/shm/fuzz_relayed.%d", (int)getpid());
    snprintf(self.relayed, sizeof self.relayed, "%s-relayed", self.path);
    unlink(self.path);
    unlink(self.relayed);
    for (unsigned i = 0; i < HANDLES; i++)
        open_handle(&self, i);
    push_once(self.queues[0], 1, 3, 2);
    while (from.left > 0)
        act(&self, &from);
    unlink(self.relayed);
    push_once(self.queues[1], 1, 1, 2);
    unlink(self.path);
    for (unsigned i = 0; i < HANDLES; i++)
        emmap_free(self.queues[i]);
    unlink(self.relayed);
    return 0;
}
