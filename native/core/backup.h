/* A copy of a file under another name, which is there whole or not at all. */
#ifndef EMMAP_CORE_BACKUP_H
#define EMMAP_CORE_BACKUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "emmap.h"

/* A file on its way: without a name, or where the file system has no such files, under one beside where it goes. */
typedef struct backup {
    int fd;
    const char *to;
    char *folder;
    char *temporary; /* NULL: none */
} backup_t;

/* Errors: EEXIST where there is something under the name; what open says. On failure there is nothing to end. */
emmap_error emi_backup_begin(const char *to, backup_t *self);

/* Makes the file `size` bytes long and reserves them all, so that nobody who writes to zeros meets a full disk. */
emmap_error emi_backup_reserve(backup_t *self, uint64_t size);

/* Writes bytes into the file. What is all zeros is left out, so that it takes no space on the disk. */
emmap_error emi_backup_write(backup_t *self, uint64_t position, const void *bytes, uint64_t length);

/* After `error`, or where this fails, the file goes; else it is on the disk, `size` bytes long, and gets its name. */
emmap_error emi_backup_end(backup_t *self, emmap_error error, uint64_t size, mode_t mode);

/* The contents of a queue or a block storage as they are at one moment, laid out as the file has them. */
typedef struct backup_image {
    uint8_t *bytes;    /* NULL: none */
    uint64_t length;   /* of what is to be written */
    uint64_t size;     /* of the file */
    uint64_t capacity; /* of the memory */
} backup_image_t;

/* Zeros. Errors: ENOMEM. */
emmap_error emi_backup_image_create(uint64_t capacity, backup_image_t *self);
void emi_backup_image_free(backup_image_t *self);

/* Errors: as an operation that looks; ENOMEM. On failure there is no image. */
emmap_error emi_queue_backup(emmap_file *file, backup_image_t *image);
emmap_error emi_blocks_backup(emmap_file *file, backup_image_t *image);

#endif
