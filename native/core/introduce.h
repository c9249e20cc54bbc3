/* The introduction of a handle to others, in memory that they share. */
#ifndef EMMAP_CORE_INTRODUCE_H
#define EMMAP_CORE_INTRODUCE_H

#include <stdatomic.h>
#include <stdint.h>

#define RUNTIME_NAME 32

typedef struct introduction {
    _Atomic uint64_t process;   /* process id, in the owner's PID namespace */
    _Atomic uint64_t since;     /* ms since 1970 */
    char runtime[RUNTIME_NAME]; /* the program's name; ends with a 0 */
} introduction_t;

/* Writes process, present time and program. */
void emi_introduce(introduction_t *self);

/* Copies the program's name, up to the first byte that is not printable: others may have written it. `name` has room for
 * RUNTIME_NAME bytes. */
void emi_introduced_program(const introduction_t *self, char *name);

/* A random number, which tells files apart. */
uint64_t emi_random_number(void);

#endif
