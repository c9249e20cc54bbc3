#include "introduce.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "platform.h"

void emi_introduce(introduction_t *self)
{
    const char *const program = emi_platform_program();
    const size_t length = strlen(program);
    for (size_t i = 0; i < RUNTIME_NAME; i++)
        __atomic_store_n(&self->runtime[i], i < length && i < RUNTIME_NAME - 1 ? program[i] : (char)0,
                         __ATOMIC_RELAXED);
    atomic_store_explicit(&self->process, (uint64_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&self->since, clock_now(), memory_order_relaxed);
}

void emi_introduced_program(const introduction_t *self, char *name)
{
    size_t length = 0;
    for (; length < RUNTIME_NAME - 1; length++) {
        const char byte = __atomic_load_n(&self->runtime[length], __ATOMIC_RELAXED);
        if (byte < 0x20 || byte > 0x7e)
            break;
        name[length] = byte;
    }
    name[length] = 0;
}

/* Without random bytes, time and process id are good enough: the numbers have to differ, not to be secret. */
uint64_t emi_random_number(void)
{
    uint64_t number;
    if (emi_platform_random(&number, sizeof number) == 0)
        return number;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid();
}
