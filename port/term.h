/*
 * Terms of the external term format, where they lie in a frame. Whoever sent a frame may have put anything into
 * it and libei's decoders check no bounds, so bytes become a `term` only through term_check or term_next.
 */
#ifndef EMMAP_PORT_TERM_H
#define EMMAP_PORT_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* One whole, well-formed term without version byte, or several in a row. The bytes are the frame's. */
typedef struct term {
    uint8_t *bytes;
    size_t length;
} term_t;

/* What a frame's one term begins with. */
#define TERM_VERSION 131

/* Longest atom in bytes (255 characters of UTF-8), and room for the NUL. */
#define TERM_ATOM_SIZE (255 * 4 + 1)

/*
 * How many bytes the term at `bytes` has, 0 where no well-formed one begins. It knows every tag that
 * term_to_binary writes but the compressed form, uses no recursion and no memory, and takes linear time.
 */
size_t term_check(const uint8_t *bytes, size_t length);

/* Cuts the first of several terms off. False at the end. */
bool term_next(term_t *rest, term_t *first);

/* The elements of a tuple, to be taken by term_next. False if it is none. */
bool term_tuple(term_t tuple, uint32_t *arity, term_t *elements);

/* The elements of a list, followed by its tail. False if it is none; a list of bytes is none here. */
bool term_list(term_t list, uint32_t *count, term_t *elements);

bool term_is_nil(term_t nil);

/* The bytes of a list of bytes in the form that is none to term_list, as integers that have lost their tags. False if it is
 * none. */
bool term_string(term_t string, term_t *bytes);

/* The integer that a byte of such a list is, which it takes memory of the caller's for. */
#define TERM_BYTE_SIZE 2
term_t term_byte(uint8_t byte, uint8_t memory[TERM_BYTE_SIZE]);

/* The atom as a NUL-terminated UTF-8 string. False if it is none. */
bool term_atom(term_t atom, char name[TERM_ATOM_SIZE]);

/* The atom as it is encoded: Latin-1 or UTF-8, which an ASCII name is the same bytes in. False if it is none. */
bool term_atom_bytes(term_t atom, const uint8_t **bytes, size_t *length);

typedef enum term_integer_range {
    TERM_NO_INTEGER,
    TERM_SIGNED,   /* from -2^63 to 2^63 - 1; *value holds it */
    TERM_UNSIGNED, /* from 2^63 to 2^64 - 1; *value holds it as uint64_t */
    TERM_BEYOND    /* any other; *value is UINT64_MAX, which the core refuses as a position or length */
} term_integer_range_t;

term_integer_range_t term_integer(term_t integer, uint64_t *value);

/*
 * The bytes of an iodata term. Those of a list are moved together within the frame, over the term, which is
 * none any longer. False if the term is no iodata, or where memory for its nesting is lacking.
 */
bool term_iodata(term_t iodata, struct iovec *bytes);

/* Keeps a copy of each list that term_iodata overwrites from here on, for a request that may have to be done again. */
void term_keep_lists(void);

/* Puts the lists back. */
void term_restore_lists(void);

/* Frees the copies, and keeps no more. */
void term_forget_lists(void);

#endif
