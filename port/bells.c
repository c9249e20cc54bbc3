#include "bells.h"

#ifdef __linux__
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

static int all = -1;

/* What tells the descriptor that is no bell from handles, none of which is 0. */
enum { OTHER = 0 };

static bool watch(int fd, uint64_t handle)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = handle};
    return epoll_ctl(all, EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST;
}

int bells_descriptor(int other)
{
    if (all >= 0)
        return all;
    all = epoll_create1(EPOLL_CLOEXEC);
    if (all >= 0 && !watch(other, OTHER)) {
        close(all);
        all = -1;
    }
    return all;
}

bool bells_watch(emmap_file *file, uint64_t handle)
{
    int fd;
    return all >= 0 && !emmap_queue_wait_descriptor(file, &fd) && watch(fd, handle);
}

/* Whether the handle's bell has rung. Then it is silent again. */
static bool has_rung(const handles_t *files, uint64_t handle)
{
    uint8_t bytes[64];
    int fd;
    emmap_file *const file = handles_find(files, handle);
    return file && !emmap_queue_wait_descriptor(file, &fd) && read(fd, bytes, sizeof bytes) > 0;
}

size_t bells_rung(const handles_t *files, uint64_t handles[BELLS_AT_ONCE])
{
    struct epoll_event events[BELLS_AT_ONCE];
    const int ready = all < 0 ? 0 : epoll_wait(all, events, BELLS_AT_ONCE, 0);
    size_t count = 0;
    for (int i = 0; i < ready; i++)
        if (events[i].data.u64 != OTHER && has_rung(files, events[i].data.u64))
            handles[count++] = events[i].data.u64;
    return count;
}
#else
int bells_descriptor(int other)
{
    (void)other;
    return -1;
}

bool bells_watch(emmap_file *file, uint64_t handle)
{
    (void)file;
    (void)handle;
    return false;
}

size_t bells_rung(const handles_t *files, uint64_t handles[BELLS_AT_ONCE])
{
    (void)files;
    (void)handles;
    return 0;
}
#endif
