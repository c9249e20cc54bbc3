/* Copying a file that is in use. A queue or storage is first copied in memory, at one moment, by an operation
 * that reads; then, while nobody waits any more, to the disk. A process that is killed meanwhile leaves no
 * file, except on a file system that has no files without a name: there one called .NAME.emmap-XXXXXX stays. */
#define _GNU_SOURCE
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "file.h"
#include "operation.h"
#include "pause.h"
#include "platform.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* ---- The file ---- */

static char *folder_of(const char *path)
{
    char *const copy = strdup(path);
    char *const folder = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    return folder;
}

/* FOLDER/.NAME.emmap-XXXXXX */
static char *temporary_name(const char *folder, const char *path)
{
    const char *const slash = strrchr(path, '/'), *const name = slash ? slash + 1 : path;
    const size_t size = strlen(folder) + strlen(name) + sizeof "/..emmap-XXXXXX";
    char *const result = malloc(size);
    if (result)
        snprintf(result, size, "%s/.%s.emmap-XXXXXX", folder, name);
    return result;
}

static void forget(backup_t *self)
{
    if (self->fd >= 0)
        close(self->fd);
    if (self->temporary)
        unlink(self->temporary);
    free(self->temporary);
    free(self->folder);
    *self = (backup_t){.fd = -1};
}

static emmap_error create(backup_t *self)
{
    self->fd = emi_platform_unnamed_file(self->folder);
    if (self->fd >= 0)
        return EMMAP_OK;
    if (errno != ENOTSUP)
        return emi_error_from_errno("open");
    char *const name = temporary_name(self->folder, self->to);
    if (!name)
        return emi_error_set(ENOMEM, NULL);
    self->fd = mkstemp(name);
    if (self->fd < 0) {
        const emmap_error error = emi_error_from_errno("open");
        free(name);
        return error;
    }
    self->temporary = name;
    fcntl(self->fd, F_SETFD, FD_CLOEXEC);
    return EMMAP_OK;
}

emmap_error emi_backup_begin(const char *to, backup_t *self)
{
    struct stat about;
    *self = (backup_t){.fd = -1, .to = to};
    /* Before a copy is made in vain. emi_backup_end checks again. */
    if (lstat(to, &about) == 0) {
        emi_error_from_syscall(EEXIST, "lstat", "a backup replaces no file");
        return emi_error_about(EMMAP_ABOUT_COPY);
    }
    self->folder = folder_of(to);
    const emmap_error error = self->folder ? create(self) : emi_error_set(ENOMEM, NULL);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        forget(self);
        emi_error_restore(&failure);
        emi_error_about(EMMAP_ABOUT_COPY);
    }
    return error;
}

#define PAGE 4096u

static uint64_t page_of(uint64_t length)
{
    return length < PAGE ? length : PAGE;
}

/* Whether the next page is all zeros. */
static bool is_hole(const uint8_t *bytes, uint64_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)page_of(length) - 1) == 0;
}

emmap_error emi_backup_reserve(backup_t *self, uint64_t size)
{
    const int reserved = emi_platform_reserve(self->fd, 0, size);
    if (reserved == 0 || reserved == ENOTSUP)
        return EMMAP_OK;
    emi_error_from_syscall((emmap_error)reserved, "fallocate", NULL);
    return emi_error_about(EMMAP_ABOUT_COPY);
}

static emmap_error write_all(int fd, uint64_t position, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        const ssize_t written = pwrite(fd, bytes, length, (off_t)position);
        if (written < 0 && errno != EINTR)
            return emi_error_from_errno("pwrite");
        if (written > 0) {
            bytes += written;
            position += (uint64_t)written;
            length -= (size_t)written;
        }
    }
    return EMMAP_OK;
}

emmap_error emi_backup_write(backup_t *self, uint64_t position, const void *bytes, uint64_t length)
{
    const uint8_t *const from = bytes;
    emmap_error error = EMMAP_OK;
    for (uint64_t done = 0, run; !error && done < length; done += run) {
        const bool hole = is_hole(from + done, length - done);
        run = 0;
        while (done + run < length && run < EMMAP_PIECE &&
               is_hole(from + done + run, length - done - run) == hole)
            run += page_of(length - done - run);
        if (!hole)
            error = write_all(self->fd, position + done, from + done, (size_t)run);
    }
    return error ? emi_error_about(EMMAP_ABOUT_COPY) : EMMAP_OK;
}

static emmap_error sync_folder(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return emi_error_from_errno("open");
    const emmap_error error = emi_platform_sync(fd) == 0 ? EMMAP_OK : emi_error_from_errno("fsync");
    close(fd);
    return error;
}

/* Neither way replaces a file that has appeared meanwhile. */
static emmap_error name_it(backup_t *self)
{
    const int result =
        self->temporary ? link(self->temporary, self->to) : emi_platform_name_file(self->fd, self->to);
    if (result == 0)
        return EMMAP_OK;
    return errno == EEXIST ? emi_error_from_syscall(EEXIST, "link", "a backup replaces no file")
                           : emi_error_from_errno("link");
}

static emmap_error publish(backup_t *self, uint64_t size, mode_t mode)
{
    if (ftruncate(self->fd, (off_t)size) != 0)
        return emi_error_from_errno("ftruncate");
    if (fchmod(self->fd, mode) != 0)
        return emi_error_from_errno("fchmod");
    PAUSE("backup_written");
    if (emi_platform_sync(self->fd) != 0)
        return emi_error_from_errno("fsync");
    emmap_error error = name_it(self);
    PAUSE("backup_named");
    if (error)
        return error;
    error = sync_folder(self->folder);
    if (error)
        unlink(self->to);
    return error;
}

emmap_error emi_backup_end(backup_t *self, emmap_error error, uint64_t size, mode_t mode)
{
    if (!error) {
        error = publish(self, size, mode);
        if (error)
            emi_error_about(EMMAP_ABOUT_COPY);
    }
    const emmap_failure failure = *emmap_last_failure();
    forget(self);
    if (error)
        emi_error_restore(&failure);
    return error;
}

/* ---- Images ---- */

emmap_error emi_backup_image_create(uint64_t capacity, backup_image_t *self)
{
    *self = (backup_image_t){.capacity = capacity};
    /* Only address space: if the storage has few blocks, few pages are touched. */
    void *const bytes = capacity > SIZE_MAX / 2 ? MAP_FAILED
                                                : mmap(NULL, (size_t)capacity, PROT_READ | PROT_WRITE,
                                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED)
        return emi_error_set(ENOMEM, "no memory for a copy of the file's content");
    self->bytes = bytes;
    return EMMAP_OK;
}

void emi_backup_image_free(backup_image_t *self)
{
    if (self->bytes)
        munmap(self->bytes, (size_t)self->capacity);
    *self = (backup_image_t){0};
}

/* ---- What is copied ---- */

static mode_t mode_of(emmap_file *file)
{
    descriptor_t *descriptor;
    struct stat about;
    if ((file->options.flags & EMMAP_OPEN_ANON) || emi_file_descriptor(file, &descriptor) != EMMAP_OK)
        return 0600;
    const bool known = fstat(descriptor->fd, &about) == 0;
    emi_descriptor_release(descriptor);
    return known ? about.st_mode & 0777 : 0600;
}

/* Counter by counter, so that no value is torn. */
static emmap_error copy_counters(emmap_file *file, backup_t *to, uint64_t *size)
{
    enum { HEADER = 16, WORDS = EMMAP_PIECE / 8 };
    int64_t words[WORDS];
    uint8_t header[HEADER];
    uint64_t got;
    const struct iovec vector = {.iov_base = header, .iov_len = HEADER};
    const uint64_t count = file->counters;
    emmap_error error = emmap_preadv(file, 0, &vector, 1, &got);
    if (!error)
        error = emi_backup_reserve(to, HEADER + 8 * count);
    if (!error)
        error = emi_backup_write(to, 0, header, HEADER);
    for (uint64_t at = 0; !error && at < count; at += WORDS) {
        const uint64_t run = count - at < WORDS ? count - at : WORDS;
        for (uint64_t i = 0; !error && i < run; i++)
            error = emmap_counter_get(file, at + i, &words[i]);
        if (!error)
            error = emi_backup_write(to, HEADER + 8 * at, words, 8 * run);
    }
    *size = HEADER + 8 * count;
    return error;
}

static emmap_error copy_bytes(emmap_file *file, backup_t *to, uint64_t *size)
{
    uint8_t piece[EMMAP_PIECE];
    const struct iovec vector = {.iov_base = piece, .iov_len = sizeof piece};
    uint64_t at = 0, got = 0;
    emmap_error error;
    while ((error = emmap_preadv(file, at, &vector, 1, &got)) == EMMAP_OK && got > 0) {
        error = emi_backup_write(to, at, piece, got);
        if (error)
            return error;
        at += got;
        PAUSE("backup_piece");
    }
    *size = at;
    return error == EMMAP_EOF ? EMMAP_OK : error;
}

static emmap_error copy_container(emmap_file *file, const container_t *container, backup_t *to,
                                  uint64_t *size)
{
    static emmap_error (*const make_image[])(emmap_file *,
                                             backup_image_t *) = {[CONTAINER_QUEUE] = emi_queue_backup,
                                                                  [CONTAINER_BLOCKS] = emi_blocks_backup,
                                                                  [CONTAINER_CELL] = emi_cell_backup,
                                                                  [CONTAINER_TABLE] = emi_table_backup};
    backup_image_t image = {0};
    emmap_error error = make_image[container->kind](file, &image);
    PAUSE("backup_copied");
    if (!error && container->kind != CONTAINER_BLOCKS)
        error = emi_backup_reserve(to, image.size);
    if (!error)
        error = emi_backup_write(to, 0, image.bytes, image.length);
    *size = image.size;
    const emmap_failure failure = *emmap_last_failure();
    emi_backup_image_free(&image);
    if (error)
        emi_error_restore(&failure);
    return error;
}

emmap_error emmap_backup(emmap_file *file, const char *to)
{
    uint64_t size;
    backup_t target;
    /* On a closed file EMMAP_CLOSED counts more than the name. */
    emmap_error error = emmap_size(file, &size);
    if (!error)
        error = emi_backup_begin(to, &target);
    if (error)
        return error;
    const mode_t mode = mode_of(file);
    const container_t *const container = atomic_load_explicit(&file->container, memory_order_acquire);
    if (container)
        error = copy_container(file, container, &target, &size);
    else if (file->counters)
        error = copy_counters(file, &target, &size);
    else
        error = copy_bytes(file, &target, &size);
    return emi_backup_end(&target, error, size, mode);
}
