/*
 * Builds the files that a power cut may leave. The kernel writes the pages of a file out in any order, each at any time, and
 * a disk does the same with its sectors. Only fsync waits for all of them. So after a cut each page or sector on disk may
 * have any version since the last fsync, and the file any length since then. The functions below record every state of a
 * file, at the core's pause points and after each operation, and combine such files from them.
 */
#ifndef EMMAP_TEST_POWER_H
#define EMMAP_TEST_POWER_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "structures.h"

#define MOMENTS_MAX 4096
#define CHANGED_MAX 1024

/* The file at one moment, and the test's model of it then. */
typedef struct moment {
    uint8_t *bytes;
    size_t length;
    uint64_t model[4];
} moment;

typedef struct recorder {
    const char *path;            /* the recorded file; NULL: none */
    moment moments[MOMENTS_MAX]; /* since the last fsync; the first one is on disk */
    size_t count;
    const uint64_t *model;           /* recorded with each moment */
    void (*settled)(const moment *); /* called after an fsync, before the earlier moments go */
    size_t unit;                     /* bytes that reach the disk together */
    uint64_t random;
    uint64_t images;
    uint64_t violations;
} recorder;

static recorder power;

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t power_random(uint64_t below)
{
    uint64_t z = power.random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

static void power_violation(const char *what, uint64_t a, uint64_t b)
{
    if (power.violations++ < 20)
        fprintf(stderr, "power loss: %s (%llu, %llu)\n", what, (unsigned long long)a, (unsigned long long)b);
}

static moment power_snapshot(void)
{
    moment now = {.length = 0};
    const int fd = open(power.path, O_RDONLY | O_CLOEXEC);
    require(fd >= 0);
    const off_t length = lseek(fd, 0, SEEK_END);
    require(length >= 0);
    now.length = (size_t)length;
    now.bytes = malloc(now.length + 1);
    require(now.bytes && pread(fd, now.bytes, now.length, 0) == length);
    close(fd);
    memcpy(now.model, power.model, sizeof now.model);
    return now;
}

static bool power_same(const moment *a, const moment *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0 &&
           memcmp(a->model, b->model, sizeof a->model) == 0;
}

static void power_add(moment now)
{
    require(power.count < MOMENTS_MAX);
    power.moments[power.count++] = now;
}

/* A page may be written out in the middle of a copy. So between two moments that differ in more than a header there is a
 * third one, with half of the difference. */
static void power_add_half(const moment *before, const moment *after)
{
    const size_t common = before->length < after->length ? before->length : after->length;
    size_t first = 0, last = common;
    while (first < common && before->bytes[first] == after->bytes[first])
        first++;
    while (last > first && before->bytes[last - 1] == after->bytes[last - 1])
        last--;
    if (last - first <= 16)
        return;
    moment half = *after;
    half.bytes = malloc(after->length + 1);
    require(half.bytes != NULL);
    const size_t middle = (first + last) / 16 * 8;
    memcpy(half.bytes, after->bytes, after->length);
    memcpy(half.bytes + middle, before->bytes + middle, last - middle);
    memcpy(half.model, before->model, sizeof half.model);
    power_add(half);
}

static void power_record(const char *name)
{
    (void)name;
    if (!power.path)
        return;
    moment now = power_snapshot();
    if (power.count > 0 && power_same(&power.moments[power.count - 1], &now)) {
        free(now.bytes);
        return;
    }
    if (power.count > 0)
        power_add_half(&power.moments[power.count - 1], &now);
    power_add(now);
}

static void power_forget(size_t from)
{
    while (power.count > from)
        free(power.moments[--power.count].bytes);
}

/* Begins recording. The file is on disk as it is. */
static void power_begin(const char *path, const uint64_t *model, void (*settled)(const moment *))
{
    power.path = path;
    power.model = model;
    power.settled = settled;
    power_record(NULL);
    pause_hook = power_record;
}

static void power_end(void)
{
    pause_hook = NULL;
    power.path = NULL;
    power_forget(0);
}

/* The core calls these in place of libc's functions. They play the disk. */
static int power_synced(void)
{
    if (power.path) {
        power_record(NULL);
        power.settled(&power.moments[power.count - 1]);
        const moment last = power.moments[--power.count];
        power_forget(0);
        power_add(last);
    }
    return 0;
}

int fsync(int fd)
{
    (void)fd;
    return power_synced();
}

int fdatasync(int fd)
{
    (void)fd;
    return power_synced();
}

/* ---- Images ---- */

/* Copies the unit at `offset` from that moment into an image. Bytes behind the file's end then are zeros. */
static void power_put(moment *image, const moment *from, size_t offset)
{
    if (offset >= image->length)
        return;
    const size_t run = image->length - offset < power.unit ? image->length - offset : power.unit;
    const size_t there = from->length <= offset        ? 0
                         : from->length - offset < run ? from->length - offset
                                                       : run;
    memcpy(image->bytes + offset, from->bytes + offset, there);
    memset(image->bytes + offset + there, 0, run - there);
}

static bool power_differs(const moment *a, const moment *b, size_t offset)
{
    const size_t end_a = a->length < offset + power.unit ? a->length : offset + power.unit;
    const size_t end_b = b->length < offset + power.unit ? b->length : offset + power.unit;
    if (end_a != end_b)
        return end_a > offset || end_b > offset;
    return end_a > offset && memcmp(a->bytes + offset, b->bytes + offset, end_a - offset) != 0;
}

typedef void power_check(const char *path, const moment *at, bool in_order);

static void power_try(const moment *image, const moment *at, bool in_order, power_check *check)
{
    /* In memory, because there are many. */
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("image", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    require(fd >= 0 && ftruncate(fd, 0) == 0);
    require(pwrite(fd, image->bytes, image->length, 0) == (ssize_t)image->length);
    const char *const recorded = power.path;
    power.path = NULL;
    pause_hook = NULL;
    check(path, at, in_order);
    pause_hook = power_record;
    power.path = recorded;
    power.images++;
}

static moment power_image(const moment *base, size_t length)
{
    moment image = {.bytes = malloc(length + 1), .length = length};
    require(image.bytes != NULL);
    for (size_t offset = 0; offset < length; offset += power.unit)
        power_put(&image, base, offset);
    return image;
}

/* Finds the units that have more than one version up to moment t. */
static size_t power_changed(size_t t, size_t *changed)
{
    size_t count = 0, longest = 0;
    for (size_t i = 0; i <= t; i++)
        if (power.moments[i].length > longest)
            longest = power.moments[i].length;
    for (size_t offset = 0; offset < longest && count < CHANGED_MAX; offset += power.unit)
        for (size_t i = 1; i <= t; i++)
            if (power_differs(&power.moments[i - 1], &power.moments[i], offset)) {
                changed[count++] = offset;
                break;
            }
    return count;
}

/* The file of moment `base` with one unit of moment `other`, and with the length of each of the two. */
static void power_try_one(size_t base, size_t other, size_t offset, size_t length, size_t t,
                          power_check *check)
{
    moment image = power_image(&power.moments[base], length);
    power_put(&image, &power.moments[other], offset);
    power_try(&image, &power.moments[t], false, check);
    free(image.bytes);
}

/* All combinations of versions of these units. False: there are more than `most`. */
static bool power_try_all(const size_t *changed, size_t count, size_t t, size_t most, power_check *check)
{
    size_t versions[8], all = 1;
    if (count > 8)
        return false;
    for (size_t i = 0; i < count; i++) {
        versions[i] = t + 1;
        all *= versions[i];
        if (all > most)
            return false;
    }
    for (size_t number = 0; number < all; number++) {
        size_t rest = number;
        moment image = power_image(&power.moments[0], power.moments[power_random(t + 1)].length);
        for (size_t i = 0; i < count; i++, rest /= t + 1)
            power_put(&image, &power.moments[rest % (t + 1)], changed[i]);
        power_try(&image, &power.moments[t], false, check);
        free(image.bytes);
    }
    return true;
}

/* Cuts the power at moment t. */
static void power_cut_at(size_t t, size_t samples, power_check *check)
{
    static size_t changed[CHANGED_MAX];
    const moment *const now = &power.moments[t];
    power_try(now, now, true, check);
    const size_t count = power_changed(t, changed);
    if (count == 0 || power_try_all(changed, count, t, samples, check))
        return;
    /* One page is written early, or one page late. */
    for (size_t i = 0; i < samples / 4 && i < count; i++) {
        const size_t offset = changed[count <= samples / 4 ? i : power_random(count)];
        power_try_one(0, t, offset, power.moments[0].length, t, check);
        power_try_one(0, t, offset, now->length, t, check);
        power_try_one(t, 0, offset, now->length, t, check);
        power_try_one(t, power_random(t + 1), offset, power.moments[0].length, t, check);
    }
    for (size_t i = 0; i < samples; i++) {
        moment image = power_image(&power.moments[0], power.moments[power_random(t + 1)].length);
        for (size_t j = 0; j < count; j++)
            power_put(&image, &power.moments[power_random(t + 1)], changed[j]);
        power_try(&image, now, false, check);
        free(image.bytes);
    }
}

/* Cuts the power at every moment since the last fsync, or at the last few and some of the others. */
static void power_cut(size_t samples, power_check *check)
{
    const size_t every = power.count > 24 ? power.count / 24 : 1;
    for (size_t t = 0; t < power.count; t++)
        if (t % every == 0 || t + 1 == power.count)
            power_cut_at(t, samples, check);
}

#endif
