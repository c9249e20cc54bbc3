#define _GNU_SOURCE
#include "subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pause.h"

static int fd;
static char path[32];

void subject_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

void subject_require_error(emmap_error error, const emmap_error *allowed, const char *file, int line)
{
    while (*allowed != EMMAP_OK && *allowed != error)
        allowed++;
    if (error != *allowed) {
        fprintf(stderr, "%s:%d: unexpected %s: %s\n", file, line, emmap_error_name(error),
                emmap_last_failure()->reason ? emmap_last_failure()->reason : "");
        abort();
    }
}

/* ---- The script ---- */

uint8_t script_byte(script *self)
{
    if (self->left == 0)
        return 0;
    self->left--;
    return *self->next++;
}

uint16_t script_short(script *self)
{
    const uint16_t low = script_byte(self);
    return (uint16_t)(low | script_byte(self) << 8);
}

uint64_t script_long(script *self)
{
    uint64_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint64_t)script_short(self) << 16 * i;
    return value;
}

/* ---- The file ---- */

/* The core asks for this limit before it makes a file longer. (A real limit would bind libFuzzer's own files too.) */
int __real_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit(int resource, struct rlimit *limit);

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    const int result = __real_getrlimit(resource, limit);
    if (resource == RLIMIT_FSIZE)
        limit->rlim_cur = SUBJECT_LIMIT;
    return result;
}

/* libFuzzer calls it before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fd = memfd_create("subject", MFD_CLOEXEC);
    require(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return 0;
}

emmap_options subject_options(uint8_t asked)
{
    emmap_options options = {0};
    if (asked & SUBJECT_READ_ONLY)
        options.flags = EMMAP_OPEN_READ;
    else if (asked & SUBJECT_EXCLUSIVE)
        options.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_EXCLUSIVE;
    return options;
}

const char *subject_path(void)
{
    return path;
}

bool subject_load(const uint8_t *data, size_t size, uint8_t *options, script *self)
{
    enum { HEADER = 3 };
    if (size < HEADER)
        return false;
    *options = data[0];
    const size_t length = (size_t)data[1] | (size_t)data[2] << 8;
    if (size - HEADER < length || size - HEADER - length > SUBJECT_LIMIT)
        return false;
    *self = (script){.next = data + HEADER, .left = length};
    const size_t rest = size - HEADER - length;
    require(ftruncate(fd, 0) == 0);
    require(pwrite(fd, data + HEADER + length, rest, 0) == (ssize_t)rest);
    disturbed = (disturbances){0};
    return true;
}

content subject_read(void)
{
    struct stat about;
    require(fstat(fd, &about) == 0);
    content all = {.length = (size_t)about.st_size};
    all.bytes = malloc(all.length + 1);
    require(all.bytes && pread(fd, all.bytes, all.length, 0) == about.st_size);
    return all;
}

opening opening_begin(void)
{
    /* No operation before the open could have met a cut. */
    disturbed.truncated = disturbed.grown = false;
    return (opening){subject_read(), disturbed.count};
}

void opening_end(opening *self, bool refused)
{
    if (refused && disturbed.count == self->disturbed_before && !disturbed.grown) {
        const content after = subject_read();
        require(after.length == self->before.length &&
                memcmp(after.bytes, self->before.bytes, after.length) == 0);
        free(after.bytes);
    }
    free(self->before.bytes);
}

void subject_inspect(size_t size)
{
    emmap_inspection *found;
    if (size % 32 != 0)
        return;
    require_error(emmap_inspect(path, EMMAP_CHECK, &found), ENOMEM);
    emmap_inspection_free(found);
}

/* ---- The other writer ---- */

disturbances disturbed;

static struct plan {
    uint8_t kind;
    uint16_t place;
    uint64_t bytes;
} planned;

static struct plan plan_of(script *self)
{
    struct plan plan = {.kind = script_byte(self), .place = script_short(self)};
    if (plan.kind % 4 < 3)
        plan.bytes = script_long(self);
    return plan;
}

static void carry_out(struct plan plan)
{
    static const uint8_t widths[] = {1, 4, 8};
    struct stat about;
    require(fstat(fd, &about) == 0);
    const off_t size = about.st_size, place = size ? plan.place % size : 0;
    if (plan.kind % 4 < 3) {
        const ssize_t width = widths[plan.kind % 4];
        disturbed.count++;
        /* Changes of the header find more faults. */
        require(pwrite(fd, &plan.bytes, (size_t)width, plan.kind & 4 ? plan.place % 32 : place) == width);
    } else if (plan.kind & 4) {
        /* Another process makes the file longer; all handles follow. */
        disturbed.grown = true;
        require(size + plan.place > (off_t)SUBJECT_LIMIT || ftruncate(fd, size + plan.place) == 0);
    } else {
        disturbed.count++;
        disturbed.truncated = true;
        require(ftruncate(fd, place) == 0);
    }
}

void disturb_now(script *self)
{
    carry_out(plan_of(self));
}

void disturb_later(script *self)
{
    disturbed.countdown = 1u + script_byte(self) % 32;
    planned = plan_of(self);
}

void disturb_point(void)
{
    if (disturbed.countdown > 0 && --disturbed.countdown == 0)
        carry_out(planned);
}

void emmap_pause_point(const char *name)
{
    (void)name;
    disturb_point();
}

/* ---- Sinks ---- */

static void *keep(void *context, size_t length)
{
    pieces *const self = context;
    if (length > SUBJECT_LIMIT)
        return NULL;
    if ((self->count & (self->count - 1)) == 0) {
        self->list = realloc(self->list, (self->count ? 2 * self->count : 1) * sizeof *self->list);
        require(self->list);
    }
    uint8_t *const bytes = malloc(length);
    require(bytes);
    self->list[self->count++] = (struct piece){.bytes = bytes, .length = length};
    disturb_point();
    return bytes;
}

emmap_sink pieces_sink(pieces *into)
{
    return (emmap_sink){.allocate = keep, .context = into};
}

void pieces_free(pieces *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->list[i].bytes);
    free(self->list);
    *self = (pieces){0};
}
