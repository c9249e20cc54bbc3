/*
 * Frames on their way out, in one growing buffer. A frame's length is filled in when it ends.
 *
 * What an operation has done must be answered, also where memory is short: so an operation begins only where its answer
 * has room (reply_reserve), and is ENOMEM otherwise. Bytes that the core copies into the buffer leave that room free. Where
 * memory runs out all the same the program ends: an answer that can't be given must not look like one that is late.
 */
#ifndef EMMAP_PORT_REPLY_H
#define EMMAP_PORT_REPLY_H

#include "emmap.h"
#include "term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero it to begin with; end with reply_free. */
typedef struct reply {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    size_t frame;        /* where the frame that is being written begins */
    size_t read_start;   /* where the answer of the read that is being written begins */
    bool has_bytes;      /* the read has got its place in the buffer */
    size_t list_start;   /* where the list that is being read begins */
    uint32_t pieces;     /* in it so far */
    bool too_long;       /* the read's bytes would have passed the limit of a frame */
    size_t allowed;      /* how long the frame may become before the client's memory is asked for again */
    size_t kept;         /* to be left free for answers to come */
    const term_t *id;    /* of the request that is being answered; NULL in a batch */
    bool later;          /* it is not answered now */
    bool locked;         /* the operation has found a lock taken, or others before it at one */
    uint64_t lane;       /* the handle that the operation is about; 0: none */
    uint64_t patience;   /* how long an open is to be tried, in milliseconds */
    bool postpones;      /* an operation that finds a lock taken is done again later */
    uint64_t lock_limit; /* the most that it is tried, in milliseconds */
    uint64_t deadline;   /* of the operation that is tried, as operation_waits has it; 0: none yet */
    size_t limit;        /* of a frame with bytes that are read, in bytes; 0: FRAME_LIMIT */
    bool is_short;       /* the list that is being read was cut off where the answer was full */
} reply_t;

/* What the answer of an operation may take besides bytes and lists, and what a refused one takes. */
#define REPLY_SLACK ((size_t)16 << 10)
#define REPLY_REFUSED ((size_t)24)

/* How long a frame with bytes that are read may be. */
size_t reply_limit(const reply_t *out);

/* Whether an answer has room with lists of `length` bytes, and those to come have theirs. */
bool reply_reserve(reply_t *out, size_t length);

void reply_free(reply_t *out);

/* Empties the buffer, and gives back the memory that only a large frame needed. */
void reply_clear(reply_t *out);

/* Begins a frame: its length, to be filled in, and the term's version. */
void reply_begin(reply_t *out);
void reply_end(reply_t *out);

/* Takes the frame back that has begun last. */
void reply_drop(reply_t *out);

/* What a frame holds that has begun and is to go on later. */
typedef struct reply_part {
    uint8_t *bytes;
    size_t length;
    size_t kept;
} reply_part_t;

/* Takes the frame back that has begun last, and keeps what it holds. */
void reply_suspend(reply_t *out, reply_part_t *part);

/* Begins a frame with what was kept, which it frees. */
void reply_resume(reply_t *out, reply_part_t *part);

/* Terms, one each. Tuples, lists and maps are followed by their elements, lists then by reply_nil. */
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
/* The same with all that is known: `{error, {corrupt, Offset, Text}}`. */
void reply_failure(reply_t *out, emmap_error error);

/* {error, {Atom, Sentence}}, if the thread's last failure is `error` and says what the file system lacks; else false. */
bool reply_lack(reply_t *out, emmap_error error);
/* `{error, Atom}` for one that is the port's own. */
void reply_refuse(reply_t *out, const char *reason);

/* A sink that has the core copy straight into the buffer, as the second element of `{ok, Binary, …}`, a tuple of this
 * many. One read at a time. */
emmap_sink reply_sink(reply_t *out, unsigned arity);
/* Ends the read that the sink was for: keeps what is there, and is true where the other elements are to follow; or
 * puts the error in its place. */
bool reply_read(reply_t *out, emmap_error error);
/* Ends it with nothing in its place. */
void reply_read_drop(reply_t *out);

/* The same for many pieces, as `{ok, [Binary], …}`. */
emmap_sink reply_list_sink(reply_t *out, unsigned arity);
bool reply_list_read(reply_t *out, emmap_error error);

/* After a read that failed because the answer has no room for that many pieces, but for some: takes it back, and sets
 * *limit to how many to read instead. False in any other case. */
bool reply_list_cut(reply_t *out, emmap_error error, uint64_t *limit);

#endif
