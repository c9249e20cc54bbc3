/* Files that belong beside a data file: their path, and rights like the data file's. */
#ifndef EMMAP_CORE_BESIDE_H
#define EMMAP_CORE_BESIDE_H

#include <sys/stat.h>

#include "file.h"

/* The data file's path with `suffix`, resolved, so that all names of the file lead to one place. Fills *data with fstat(fd).
 * NULL if no name of the process leads to the file, or without memory. The caller frees it. */
char *emi_beside_path(const emmap_file *file, int fd, const char *suffix, struct stat *data);

/* Gives `fd` the data file's owner and group, if this process may, and `mode`. If the group differs in the end, the group gets no
 * rights. Errors: those of fchmod. */
emmap_error emi_beside_own(int fd, const struct stat *data, mode_t mode);

/* Renames a file that lies beside another data file of this name, which was removed, to PATH.former, .former-2 and so on. The caller
 * holds the lock of the data file that it makes, so no other handle of emmap chooses a name. Errors: those of rename, with `reason`;
 * ENOMEM. */
emmap_error emi_beside_set_aside(const char *path, const char *reason);

#endif
