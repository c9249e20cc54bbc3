/* A copy of a file under another name, which appears as a whole or not at all. */
#ifndef EMMAP_CORE_BACKUP_H
#define EMMAP_CORE_BACKUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "emmap.h"

/* A file in the making: without a name or, if the file system can't do that, with a temporary name in the
 * same folder. */
typedef struct backup {
    int fd;
    const char *to;
    char *folder;
    char *temporary; /* NULL: none */
} backup_t;

/* Errors: EEXIST if the name exists; those of open. On failure there is nothing to end. */
emmap_error emi_backup_begin(const char *to, backup_t *self);

/* Makes the file `size` bytes long and reserves its space, so that later writes to its zeros can't meet a
 * full disk. */
emmap_error emi_backup_reserve(backup_t *self, uint64_t size);

/* Writes bytes into the file. Pages of zeros stay holes. */
emmap_error emi_backup_write(backup_t *self, uint64_t position, const void *bytes, uint64_t length);

/* Without an error: gives the file its size, rights and name, and syncs it. After an error, its own or
 * `error`, removes the file. */
emmap_error emi_backup_end(backup_t *self, emmap_error error, uint64_t size, mode_t mode);

/* A container at one moment, with the bytes as in the file. */
typedef struct backup_image {
    uint8_t *bytes;    /* NULL: none */
    uint64_t length;   /* bytes to write */
    uint64_t size;     /* size of the file */
    uint64_t capacity; /* size of the memory */
} backup_image_t;

/* Allocates zeros. Errors: ENOMEM. */
emmap_error emi_backup_image_create(uint64_t capacity, backup_image_t *self);
void emi_backup_image_free(backup_image_t *self);

/* Errors: as a read of the container; ENOMEM. On failure there is no image. */
emmap_error emi_queue_backup(emmap_file *file, backup_image_t *image);
emmap_error emi_blocks_backup(emmap_file *file, backup_image_t *image);
emmap_error emi_cell_backup(emmap_file *file, backup_image_t *image);
emmap_error emi_table_backup(emmap_file *file, backup_image_t *image);

#endif
