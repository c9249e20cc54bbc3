/* The size that a file gets as it is opened, and the part of it that is mapped. */
#include <errno.h>
#include <unistd.h>

#include "error.h"
#include "mapping.h"
#include "open.h"
#include "pause.h"
#include "platform.h"
#include "size.h"

/* Whether a file that has bytes must not grow. */
static bool keeps_size(const emmap_options *options)
{
    return options->flags & (EMMAP_OPEN_KEEP_SIZE | EMMAP_OPEN_EXACT);
}

/* The number of bytes to map, once the file has its size. */
static emmap_error range_to_map(const emmap_file *file, uint64_t *size)
{
    const emmap_options *const options = &file->options;
    uint64_t on_disk;
    const emmap_error error = emi_size_on_disk(file->descriptor->fd, &on_disk);
    if (error)
        return error;
    const uint64_t available = on_disk > options->offset ? on_disk - options->offset : 0;
    if (available == 0)
        return emi_error_set(EINVAL, options->offset
                                         ? "the offset is at or past the end of the file"
                                         : "the file is empty, and an empty file cannot be mapped");
    /* Callers of emmap 2.x give the size of the whole file, also with an offset. That is refused for an
     * offset within a page: emmap 2.x counts positions from the beginning of the page then, so they would get
     * other bytes than they mean. */
    const bool rest = (options->flags & EMMAP_OPEN_EXACT) && options->offset && options->length == on_disk &&
                      options->offset % emi_platform_page_size() == 0;
    if ((options->length > available && !rest) || (options->size > available && !keeps_size(options)))
        return emi_error_set(EINVAL, "the range passes the end of the file");
    if ((options->flags & EMMAP_OPEN_EXACT) && options->size && options->size != available)
        return emi_error_set(EINVAL, "the file's size is not the required one");
    *size = options->length && !rest ? options->length : available;
    return EMMAP_OK;
}

/* Prepares the file and computes the number of bytes to map. Another process may shrink the file in between. */
static emmap_error measure(const emmap_file *file, const file_preparer_t *preparer, uint64_t *size)
{
    const emmap_options *const options = &file->options;
    const bool grows = (options->flags & EMMAP_OPEN_WRITE) && !keeps_size(options) &&
                       (options->size > 0 || options->length > 0);
    for (int attempt = 0;; attempt++) {
        emmap_error error = preparer->prepare(preparer, file->descriptor->fd, options);
        if (error)
            return error;
        PAUSE("open_sized");
        error = range_to_map(file, size);
        if (error != EINVAL || !grows || attempt == OPEN_ATTEMPTS)
            return error;
    }
}

/* emmap 2.x counts positions from the beginning of the page then. Its callers would write other bytes than
 * they mean. */
static const char offset_within_page[] = "an exact file is not made behind an offset within a page";

static bool within_page(const emmap_options *options)
{
    return (options->flags & EMMAP_OPEN_EXACT) && options->offset % emi_platform_page_size() != 0;
}

/* Empties the file. Without a size in the options, it gets its old size back. */
static emmap_error empty(emmap_file *file)
{
    emmap_options *const options = &file->options;
    const int fd = file->descriptor->fd;
    uint64_t had;
    const emmap_error error = emi_size_on_disk(fd, &had);
    if (error)
        return error;
    /* EMMAP_OPEN_KEEP_SIZE keeps the old size here, too. */
    const bool kept = (options->flags & EMMAP_OPEN_KEEP_SIZE) && had > options->offset;
    if (kept || (options->size == 0 && options->length == 0)) {
        if (had <= options->offset)
            return emi_error_set(EINVAL, "truncate needs a size if the file is missing or empty");
        options->size = had - options->offset;
    }
    if (within_page(options))
        return emi_error_set(EINVAL, offset_within_page);
    return ftruncate(fd, 0) == 0 ? EMMAP_OK : emi_error_from_errno("ftruncate");
}

emmap_error emi_open_fill(emmap_file *file, const file_preparer_t *preparer)
{
    const int fd = file->descriptor->fd;
    uint64_t size = 0;
    emmap_error error = file->options.flags & EMMAP_OPEN_TRUNCATE ? empty(file) : EMMAP_OK;
    if (!error)
        error = measure(file, preparer, &size);
    emmap_mapping *mapping = NULL;
    if (!error)
        error = emi_mapping_create(file, fd, size, file->options.address, &mapping);
    atomic_store_explicit(&file->mapping, mapping, memory_order_release);
    return error;
}

emmap_error emi_file_extend(int fd, const emmap_options *options, uint64_t size)
{
    uint64_t now;
    emmap_error error = emi_size_on_disk(fd, &now);
    if (error || now >= size)
        return error;
    /* A refused mapping must not change a file that exists. No file is longer than INT64_MAX. */
    if (size <= INT64_MAX)
        error = emi_mapping_try(fd, options, size);
    return error ? error : emi_size_extend(fd, options, 0, size);
}

emmap_error emi_open_grow_to_fit(const file_preparer_t *self, int fd, const emmap_options *options)
{
    (void)self;
    const uint64_t wanted = options->length > options->size ? options->length : options->size;
    if (wanted == 0 || !(options->flags & EMMAP_OPEN_WRITE))
        return EMMAP_OK;
    uint64_t now;
    const emmap_error error = emi_size_on_disk(fd, &now);
    if (error || (now > 0 && keeps_size(options)))
        return error;
    if (!(options->flags & EMMAP_OPEN_EXACT) || options->offset == 0)
        return emi_file_extend(fd, options, options->offset + wanted);
    /* As in emmap 2.x: `length` is the size of the whole file, and the part behind the offset is mapped. */
    return within_page(options) ? emi_error_set(EINVAL, offset_within_page)
                                : emi_file_extend(fd, options, wanted);
}
