/* The clock that all processes of a machine share. Setting it moves it. */
#ifndef EMMAP_CORE_CLOCK_H
#define EMMAP_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* ms since 1970 */
static inline uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
