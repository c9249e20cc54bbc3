/*
 * Outgoing frames, in one growing buffer. A frame gets its length when it ends.
 *
 * Every finished operation must be answered, even if memory is short. So an operation begins only if its answer has room
 * (reply_reserve), and is ENOMEM otherwise. Bytes that the core copies into the buffer leave that room free. If memory runs
 * out nevertheless, the program ends: a client must not wait for an answer that never comes.
 */
#ifndef EMMAP_PORT_REPLY_H
#define EMMAP_PORT_REPLY_H

#include "emmap.h"
#include "term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set all bytes to 0 first; end with reply_free. */
typedef struct reply {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    size_t frame;        /* where the frame that is being written begins */
    size_t read_start;   /* where the answer of the read that is being written begins */
    bool has_bytes;      /* the read has got its place in the buffer */
    size_t list_start;   /* where the list that is being read begins */
    uint32_t pieces;     /* the number of the list's elements so far */
    bool too_long;       /* the read's bytes would have passed the limit of a frame */
    size_t allowed;      /* from this length of the frame on, check the client's memory again */
    size_t kept;         /* bytes that stay free for the answers to come */
    const term_t *id;    /* of the request that is being answered; NULL in a batch */
    bool later;          /* the request is answered later */
    bool locked;         /* the operation found a lock taken, or earlier requests that wait */
    uint64_t lane;       /* the handle that the operation is about; 0: none */
    uint64_t patience;   /* how long to try an open, in milliseconds */
    bool postpones;      /* an operation that finds a lock taken is done again later */
    uint64_t lock_limit; /* how long to try an operation at most, in milliseconds */
    uint64_t deadline;   /* of the present operation, for operation_waits; 0: none yet */
    size_t limit;        /* the most bytes of a frame that answers a read; 0: FRAME_LIMIT */
    bool is_short;       /* the list that is being read was cut off where the answer was full */
} reply_t;

/* The most bytes of an answer besides its data and lists, and the bytes of a refusal. */
#define REPLY_SLACK ((size_t)16 << 10)
#define REPLY_REFUSED ((size_t)24)

/* The most bytes of a frame that answers a read. */
size_t reply_limit(const reply_t *out);

/* Makes room for an answer with lists of `length` bytes, and for the answers to come. False: no memory. */
bool reply_reserve(reply_t *out, size_t length);

void reply_free(reply_t *out);

/* Empties the buffer, and gives back the memory that only a large frame needed. */
void reply_clear(reply_t *out);

/* Begins a frame: room for its length, and the term's version. */
void reply_begin(reply_t *out);
void reply_end(reply_t *out);

/* Takes back the frame that began last. */
void reply_drop(reply_t *out);

/* The content of a frame that has begun and goes on later. */
typedef struct reply_part {
    uint8_t *bytes;
    size_t length;
    size_t kept;
} reply_part_t;

/* Takes back the frame that began last, and keeps its content. */
void reply_suspend(reply_t *out, reply_part_t *part);

/* Begins a frame with the kept content, and frees the content. */
void reply_resume(reply_t *out, reply_part_t *part);

/* Each adds one term. The elements of a tuple, list or map follow it; a list then needs reply_nil. */
void reply_atom(reply_t *out, const char *name);
void reply_signed(reply_t *out, int64_t value);
void reply_unsigned(reply_t *out, uint64_t value);
void reply_tuple(reply_t *out, unsigned arity);
void reply_list(reply_t *out, size_t count);
void reply_nil(reply_t *out);
void reply_map(reply_t *out, unsigned pairs);
void reply_binary(reply_t *out, const void *bytes, size_t length);
/* A term that is encoded already. */
void reply_term(reply_t *out, const uint8_t *bytes, size_t length);

/* `ok`, `eof` or `{error, Atom}`. */
void reply_error(reply_t *out, emmap_error error);
/* The same with details: `{error, {corrupt, Offset, Text}}`. */
void reply_failure(reply_t *out, emmap_error error);

/* Adds {error, {Atom, Sentence}} if the thread's last failure is `error` and names a lack of the file system; else false. */
bool reply_lack(reply_t *out, emmap_error error);
/* `{error, Atom}` for a reason of the port program's own. */
void reply_refuse(reply_t *out, const char *reason);

/* A sink that lets the core copy straight into the buffer, as the second element of `{ok, Binary, …}`, a tuple of `arity`
 * elements. One read at a time. */
emmap_sink reply_sink(reply_t *out, unsigned arity);
/* Ends the read of the sink. True: the binary is there, and the other elements must follow. False: the error is in its
 * place. */
bool reply_read(reply_t *out, emmap_error error);
/* Ends the read with nothing in its place. */
void reply_read_drop(reply_t *out);

/* The same for many pieces, as `{ok, [Binary], …}`. */
emmap_sink reply_list_sink(reply_t *out, unsigned arity);
bool reply_list_read(reply_t *out, emmap_error error);

/* After a read of more pieces than the answer has room for: takes the read back, and sets *limit to the number of pieces
 * that have room. False: it failed for another reason, or no piece has room. */
bool reply_list_cut(reply_t *out, emmap_error error, uint64_t *limit);

#endif
