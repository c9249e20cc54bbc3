#include "options.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "platform.h"

typedef struct flag_name {
    const char *name;
    uint32_t flag;
} flag_name_t;

static const flag_name_t flags[] = {
    {"read", EMMAP_OPEN_READ},
    {"write", EMMAP_OPEN_WRITE},
    {"create", EMMAP_OPEN_CREATE},
    {"truncate", EMMAP_OPEN_TRUNCATE},
    {"shared", EMMAP_OPEN_SHARED},
    {"private", EMMAP_OPEN_PRIVATE},
    {"shared_unsafe", EMMAP_OPEN_SHARED_UNSAFE},
    {"shared_validate", EMMAP_OPEN_SHARED_VALIDATE},
    {"direct", EMMAP_OPEN_DIRECT},
    {"anon", EMMAP_OPEN_ANON},
    {"auto_unlink", EMMAP_OPEN_AUTO_UNLINK},
    {"fixed", EMMAP_OPEN_FIXED},
    {"fixed_size", EMMAP_OPEN_FIXED_SIZE},
    {"exclusive", EMMAP_OPEN_EXCLUSIVE},
    {"follow", EMMAP_OPEN_FOLLOW},
    {"grow", EMMAP_OPEN_GROW},
    {"nolock", EMMAP_OPEN_NOLOCK},
    {"noreserve", EMMAP_OPEN_NORESERVE},
    {"populate", EMMAP_OPEN_POPULATE},
    {"nonblock", EMMAP_OPEN_NONBLOCK},
    {"sync", EMMAP_OPEN_SYNC},
    {"hugetlb", EMMAP_OPEN_HUGETLB},
    {"huge_2mb", EMMAP_OPEN_HUGE_2MB},
    {"huge_1gb", EMMAP_OPEN_HUGE_1GB},
    {"nocache", EMMAP_OPEN_NOCACHE},
    {"uninitialized", EMMAP_OPEN_UNINITIALIZED},
    {"fit", EMMAP_OPEN_FIT},
    {"keep_size", EMMAP_OPEN_KEEP_SIZE},
    {"exact", EMMAP_OPEN_EXACT},
    {"debug", EMMAP_OPEN_DEBUG},
};

static emmap_error set_flag(emmap_options *options, const char *name)
{
    if (strcmp(name, "lock") == 0) {
        options->flags &= ~(uint32_t)EMMAP_OPEN_NOLOCK;
        return EMMAP_OK;
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(name, flags[i].name) == 0) {
            options->flags |= flags[i].flag;
            return EMMAP_OK;
        }
    return emi_error_set(EMMAP_BADARG, "no such option");
}

static emmap_error set_value(emmap_options *options, const char *name, uint64_t value)
{
    uint64_t *const field = strcmp(name, "size") == 0           ? &options->size
                            : strcmp(name, "address") == 0      ? &options->address
                            : strcmp(name, "offset") == 0       ? &options->offset
                            : strcmp(name, "length") == 0       ? &options->length
                            : strcmp(name, "max_inc_size") == 0 ? &options->max_inc_size
                            : strcmp(name, "lock_timeout") == 0 ? &options->lock_timeout
                                                                : NULL;
    if (field) {
        *field = value;
        if (field == &options->lock_timeout)
            options->has_lock_timeout = true;
        return EMMAP_OK;
    }
    const bool exact = strcmp(name, "mode") == 0;
    if (!exact && strcmp(name, "chmod") != 0)
        return emi_error_set(EMMAP_BADARG, "no such option with a value");
    if (value > 07777)
        return emi_error_set(EMMAP_BADARG, "mode and chmod take permission bits up to 8#7777");
    options->mode = (uint32_t)value;
    options->has_mode = true;
    options->mode_exact = exact;
    return EMMAP_OK;
}

emmap_error emmap_option_set(emmap_options *options, const char *name, const uint64_t *value)
{
    return value ? set_value(options, name, *value) : set_flag(options, name);
}

static void imply(emmap_options *options)
{
    uint32_t *const f = &options->flags;
    *f |= EMMAP_OPEN_READ;
    if (*f & (EMMAP_OPEN_HUGE_2MB | EMMAP_OPEN_HUGE_1GB))
        *f |= EMMAP_OPEN_HUGETLB;
    if (*f & EMMAP_OPEN_SYNC)
        *f |= EMMAP_OPEN_SHARED_VALIDATE;
    if (*f & (EMMAP_OPEN_SHARED_VALIDATE | EMMAP_OPEN_SHARED_UNSAFE))
        *f |= EMMAP_OPEN_SHARED;
    if ((*f & (EMMAP_OPEN_SHARED | EMMAP_OPEN_PRIVATE)) == 0)
        *f |= EMMAP_OPEN_PRIVATE;
    if (!options->has_lock_timeout)
        options->lock_timeout = EMMAP_LOCK_TIMEOUT;
    if (options->max_inc_size == 0)
        options->max_inc_size = EMMAP_MAX_INC_SIZE;
}

emmap_error emi_options_settle(emmap_options *options)
{
    imply(options);
    const uint32_t f = options->flags;
    const bool sized = options->size > 0 || options->length > 0;
    if ((f & EMMAP_OPEN_SHARED) && (f & EMMAP_OPEN_PRIVATE))
        return emi_error_set(EINVAL, "shared and private exclude each other");
    if ((f & EMMAP_OPEN_HUGE_2MB) && (f & EMMAP_OPEN_HUGE_1GB))
        return emi_error_set(EINVAL, "huge_2mb and huge_1gb exclude each other");
    if ((f & (EMMAP_OPEN_CREATE | EMMAP_OPEN_TRUNCATE | EMMAP_OPEN_EXCLUSIVE | EMMAP_OPEN_GROW)) &&
        !(f & EMMAP_OPEN_WRITE))
        return emi_error_set(EINVAL, "create, truncate, exclusive and grow need write");
    if ((f & EMMAP_OPEN_ANON) && !(sized && (f & EMMAP_OPEN_WRITE)))
        return emi_error_set(EINVAL, "anon needs write and a size");
    if ((f & EMMAP_OPEN_ANON) && (f & EMMAP_OPEN_AUTO_UNLINK))
        return emi_error_set(EINVAL, "anon has no path to unlink");
    if ((f & EMMAP_OPEN_FOLLOW) && (f & (EMMAP_OPEN_ANON | EMMAP_OPEN_FIXED)))
        return emi_error_set(EINVAL, "anon and fixed have no other file to follow a path to");
    if ((f & EMMAP_OPEN_FIXED) && options->address == 0)
        return emi_error_set(EINVAL, "fixed needs an address");
    if (options->address % emi_platform_page_size() != 0)
        return emi_error_set(EINVAL, "the address is not a multiple of the page size");
    if (options->offset > INT64_MAX || options->length > INT64_MAX || options->size > INT64_MAX ||
        options->max_inc_size > INT64_MAX)
        return emi_error_set(EINVAL, "offset, length, size and max_inc_size are below 2^63");
    if (options->offset > INT64_MAX - options->length || options->offset > INT64_MAX - options->size)
        return emi_error_set(EFBIG, "the end is past the largest file");
    return EMMAP_OK;
}
