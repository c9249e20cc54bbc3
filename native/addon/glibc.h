// Included before everything else if the libc is glibc. Since glibc 2.34 the functions that moved into libc.so have a
// second version, which the linker would take and an older glibc lacks. These lines choose the first version, which
// every glibc has. With them and glibc.c the addon needs glibc 2.28, as Node 20 does.
#ifndef EMMAP_ADDON_GLIBC_H
#define EMMAP_ADDON_GLIBC_H

#if defined(__x86_64__)
#define FIRST_VERSION "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define FIRST_VERSION "GLIBC_2.17"
#endif

#ifdef FIRST_VERSION
#define USE_FIRST_VERSION(name) __asm__(".symver " #name ", " #name "@" FIRST_VERSION)
USE_FIRST_VERSION(pthread_attr_setstacksize);
USE_FIRST_VERSION(pthread_create);
USE_FIRST_VERSION(pthread_key_create);
USE_FIRST_VERSION(pthread_mutex_trylock);
USE_FIRST_VERSION(pthread_once);
USE_FIRST_VERSION(pthread_rwlock_destroy);
USE_FIRST_VERSION(pthread_rwlock_init);
USE_FIRST_VERSION(pthread_rwlock_rdlock);
USE_FIRST_VERSION(pthread_rwlock_unlock);
USE_FIRST_VERSION(pthread_rwlock_wrlock);
USE_FIRST_VERSION(pthread_rwlockattr_destroy);
USE_FIRST_VERSION(pthread_rwlockattr_init);
USE_FIRST_VERSION(pthread_rwlockattr_setkind_np);
USE_FIRST_VERSION(pthread_setspecific);
USE_FIRST_VERSION(pthread_sigmask);
#undef USE_FIRST_VERSION
#undef FIRST_VERSION
#endif

#endif
