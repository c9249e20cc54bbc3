/*
 * What the disk may have of a file and of the one beside it, when the power is cut: each sector may have any version since that file's last
 * fsync. The test says by `cut` what it does with such files.
 */
#ifndef EMMAP_TEST_DISKS_H
#define EMMAP_TEST_DISKS_H

#include <fcntl.h>

#include "structures.h"

#define SECTOR 512u
#define VERSIONS 2048u

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
static uint64_t random_state, images;

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

/* Starts anew with a file and the one beside it. */
static void disks_begin(const char *path, const char *suffix)
{
    for (size_t i = 0; i < 2; i++) {
        snprintf(disks[i].path, sizeof disks[i].path, "%s%s", path, i ? suffix : "");
        unlink(disks[i].path);
        forget(&disks[i], 0);
    }
}

/* Writes what a power cut may have left to `path` and the file beside it, and has it checked. */
static void disks_cut(const char *path, void (*check)(const char *path))
{
    char beside[sizeof disks[1].path];
    snprintf(beside, sizeof beside, "%s%s", path, disks[1].path + strlen(disks[0].path));
    recording = false;
    for (int i = 0; i < 4; i++) {
        write_image(path, &disks[0]);
        write_image(beside, &disks[1]);
        check(path);
        unlink(path);
        unlink(beside);
        images++;
    }
    recording = true;
}

#endif
