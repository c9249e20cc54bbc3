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

bool bells_next(const handles_t *files, uint64_t *handle)
{
    struct epoll_event event;
    uint8_t bytes[64];
    int fd;
    if (all < 0 || epoll_wait(all, &event, 1, 0) != 1 || event.data.u64 == OTHER)
        return false;
    *handle = event.data.u64;
    emmap_file *const file = handles_find(files, *handle);
    return file && !emmap_queue_wait_descriptor(file, &fd) && read(fd, bytes, sizeof bytes) > 0;
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

bool bells_next(const handles_t *files, uint64_t *handle)
{
    (void)files;
    (void)handle;
    return false;
}
#endif
