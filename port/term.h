/*
 * Terms of the external term format, in place in their frame. A frame may have any content, and libei's decoders check no
 * bounds. So bytes become a `term` only through term_check or term_next.
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

/* The first byte of a frame's term. */
#define TERM_VERSION 131

/* The longest atom in bytes (255 characters of UTF-8), and the NUL. */
#define TERM_ATOM_SIZE (255 * 4 + 1)

/*
 * The length of the term at `bytes`; 0: no well-formed term begins there. It knows every tag that term_to_binary
 * writes except the compressed form, uses no recursion and no memory, and takes linear time.
 */
size_t term_check(const uint8_t *bytes, size_t length);

/* Cuts the first of several terms off. False at the end. */
bool term_next(term_t *rest, term_t *first);

/* The elements of a tuple, for term_next. False: the term is no tuple. */
bool term_tuple(term_t tuple, uint32_t *arity, term_t *elements);

/* The elements of a list, and then its tail. False: the term is no list, or a list of bytes (term_string). */
bool term_list(term_t list, uint32_t *count, term_t *elements);

bool term_is_nil(term_t nil);

/* The bytes of a list of bytes in the form STRING_EXT: integers without their tags. False: the term is none. */
bool term_string(term_t string, term_t *bytes);

/* A byte of such a list as a term, which is written into `memory`. */
#define TERM_BYTE_SIZE 2
term_t term_byte(uint8_t byte, uint8_t memory[TERM_BYTE_SIZE]);

/* The atom as a NUL-terminated UTF-8 string. False: the term is no atom. */
bool term_atom(term_t atom, char name[TERM_ATOM_SIZE]);

/* The encoded bytes of the atom, Latin-1 or UTF-8; an ASCII name is the same in both. False: the term is no atom. */
bool term_atom_bytes(term_t atom, const uint8_t **bytes, size_t *length);

typedef enum term_integer_range {
    TERM_NO_INTEGER,
    TERM_SIGNED,   /* from -2^63 to 2^63 - 1; *value holds it */
    TERM_UNSIGNED, /* from 2^63 to 2^64 - 1; *value holds it as uint64_t */
    TERM_BEYOND    /* any other; *value is UINT64_MAX, which the core refuses as a position or length */
} term_integer_range_t;

term_integer_range_t term_integer(term_t integer, uint64_t *value);

/*
 * The bytes of an iodata term. For a list it moves them together within the frame, and so overwrites the term. False: the
 * term is no iodata, or there is no memory for its nesting.
 */
bool term_iodata(term_t iodata, struct iovec *bytes);

/* From now on keeps a copy of each list that term_iodata overwrites, for a request that may have to be done again. */
void term_keep_lists(void);

/* Puts the lists back. */
void term_restore_lists(void);

/* Frees the copies, and keeps no more. */
void term_forget_lists(void);

#endif
