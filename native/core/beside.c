#define _GNU_SOURCE
#include "beside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define FORMER_SUFFIX ".former"
#define FORMER_MOST 10000u

char *emi_beside_path(const emmap_file *file, int fd, const char *suffix, struct stat *data)
{
    struct stat named;
    char *const path = file->named ? realpath(file->named, NULL) : NULL;
    char *result = NULL;
    if (path && fstat(fd, data) == 0 && stat(path, &named) == 0 && named.st_dev == data->st_dev &&
        named.st_ino == data->st_ino) {
        const size_t size = strlen(path) + strlen(suffix) + 1;
        result = malloc(size);
        if (result)
            snprintf(result, size, "%s%s", path, suffix);
    }
    free(path);
    return result;
}

emmap_error emi_beside_own(int fd, const struct stat *data, mode_t mode)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return emi_error_from_errno("fstat");
    if ((about.st_uid != data->st_uid || about.st_gid != data->st_gid) &&
        fchown(fd, data->st_uid, data->st_gid) != 0 && about.st_gid != data->st_gid &&
        fchown(fd, (uid_t)-1, data->st_gid) != 0)
        mode &= (mode_t) ~(mode_t)S_IRWXG;
    return fchmod(fd, mode) == 0 ? EMMAP_OK : emi_error_from_errno("fchmod");
}

emmap_error emi_beside_set_aside(const char *path, const char *reason)
{
    char suffix[32] = FORMER_SUFFIX;
    const size_t size = strlen(path) + sizeof suffix;
    char *const name = malloc(size);
    if (!name)
        return emi_error_set(ENOMEM, NULL);
    bool is_free = false;
    for (unsigned i = 2; !is_free && i < FORMER_MOST; i++) {
        snprintf(name, size, "%s%s", path, suffix);
        is_free = access(name, F_OK) != 0;
        snprintf(suffix, sizeof suffix, FORMER_SUFFIX "-%u", i);
    }
    if (!is_free)
        errno = EEXIST;
    const bool renamed = is_free && rename(path, name) == 0;
    const int code = errno;
    free(name);
    return renamed ? EMMAP_OK : emi_error_from_syscall(code, "rename", reason);
}
