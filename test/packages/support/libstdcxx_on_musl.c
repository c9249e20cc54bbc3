/* What Debian's libstdc++ takes of glibc and musl lacks, for the test that runs Bun on musl. */
#include <sys/random.h>

char __libc_single_threaded;

unsigned int arc4random(void)
{
    unsigned int value = 0;
    getrandom(&value, sizeof value, 0);
    return value;
}

/* "Not found": then the unwinder uses dl_iterate_phdr. */
int _dl_find_object(void *address, void *result)
{
    (void)address, (void)result;
    return -1;
}
