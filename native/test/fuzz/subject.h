/*
 * Shared by the fuzzers of files: the file under test, the script in the input, and another writer of the same file, which
 * keeps to no rule.
 *
 * An input is one byte of options, two of the script's length (little-endian), the script, and the file's content.
 * The script is a sequence of numbers. After its end all numbers are 0.
 */
#ifndef EMMAP_FUZZ_SUBJECT_H
#define EMMAP_FUZZ_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"

/* Ends the process if the condition is false; libFuzzer reports it. */
#define require(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            subject_fail(#condition, __FILE__, __LINE__);                                                    \
    } while (0)
void subject_fail(const char *what, const char *file, int line) __attribute__((noreturn));

/* True if the error is in the list, or 0. */
#define require_error(error, ...)                                                                            \
    subject_require_error((error), (const emmap_error[]){__VA_ARGS__, EMMAP_OK}, __FILE__, __LINE__)
void subject_require_error(emmap_error error, const emmap_error *allowed, const char *file, int line);

/* ---- The script ---- */

typedef struct script {
    const uint8_t *next;
    size_t left;
} script;

uint8_t script_byte(script *self);
uint16_t script_short(script *self);
uint64_t script_long(script *self);

/* ---- The file ---- */

/* No file grows beyond this: a hostile number must not fill the memory. */
#define SUBJECT_LIMIT ((size_t)1 << 16)

/* The first bits of an input's options, for a file that is opened once. Without them it is shared. */
enum { SUBJECT_READ_ONLY = 1, SUBJECT_EXCLUSIVE = 2 };
emmap_options subject_options(uint8_t asked);

/* Splits an input, and writes its content to the file. False: the input is too short. */
bool subject_load(const uint8_t *data, size_t size, uint8_t *options, script *script);

const char *subject_path(void);

/* The bytes of the file. The caller frees them. */
typedef struct content {
    uint8_t *bytes;
    size_t length;
} content;
content subject_read(void);

/* An open. It leaves a file alone that it refuses, as long as the other writer does nothing. */
typedef struct opening {
    content before;
    unsigned disturbed_before;
} opening;
opening opening_begin(void);
void opening_end(opening *self, bool refused);

/* Looks at the file from outside, whatever it has become. It does so for one in 32 sizes of inputs, since a look waits for a change that
 * seems to be in progress. */
void subject_inspect(size_t size);

/* ---- The other writer ---- */

typedef struct disturbances {
    unsigned count;     /* how often bytes were overwritten or the file cut */
    bool truncated;     /* the file was cut since this was last set to false */
    bool grown;         /* it was made longer, which harms no operation */
    unsigned countdown; /* pause points until the next change; 0: none is due */
} disturbances;
extern disturbances disturbed;

/* Overwrites bytes, or changes the file's size, now or in the middle of an operation to come. */
void disturb_now(script *script);
void disturb_later(script *script);

/* A place where the other writer may act. The core's pause points are such places too. */
void disturb_point(void);

/* ---- Sinks ---- */

/* Keeps one piece after the other. The other writer may act at each. Refuses memory for a piece that no file can
 * have. */
typedef struct pieces {
    size_t count;
    struct piece {
        uint8_t *bytes;
        size_t length;
    } * list;
} pieces;
emmap_sink pieces_sink(pieces *into);
void pieces_free(pieces *self);

#endif
