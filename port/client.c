#define _GNU_SOURCE /* prlimit */
#include "client.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static pid_t client;

void client_set(uint64_t process)
{
    client = (pid_t)process;
}

bool client_is_known(void)
{
    return client != 0;
}

#ifdef __linux__

/* ERTS allocates in carriers of up to 8 MiB, and may have work of its own meanwhile. */
enum { BESIDE = 64 << 20 };

static bool limit_allows(const struct rlimit *limit, uint64_t used, uint64_t wanted)
{
    return limit->rlim_cur == RLIM_INFINITY || (used <= limit->rlim_cur && wanted <= limit->rlim_cur - used);
}

/* Pages of the address space and of the data, as /proc/PID/statm has them (proc(5)). */
static bool read_usage(unsigned long *space, unsigned long *data)
{
    char name[64];
    (void)snprintf(name, sizeof name, "/proc/%ld/statm", (long)client);
    FILE *const file = fopen(name, "re");
    if (!file)
        return false;
    const int fields = fscanf(file, "%lu %*u %*u %*u %*u %lu", space, data);
    (void)fclose(file);
    return fields == 2;
}

bool client_can_receive(size_t length)
{
    unsigned long space, data;
    struct rlimit of_space, of_data;
    if (client == 0 || !read_usage(&space, &data) || prlimit(client, RLIMIT_AS, NULL, &of_space) != 0 ||
        prlimit(client, RLIMIT_DATA, NULL, &of_data) != 0)
        return true;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t wanted = 3 * (uint64_t)length + BESIDE;
    return limit_allows(&of_space, space * page, wanted) && limit_allows(&of_data, data * page, wanted);
}

#else

bool client_can_receive(size_t length)
{
    (void)length;
    return true;
}

#endif
