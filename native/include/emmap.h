/*
 * emmap: memory-mapped files that several runtimes share.
 *
 * This header is the core's only public one, and its manual. The core is C11 over POSIX and knows no runtime;
 * the doors (Node-API addon, Erlang NIF, port program) translate between it and theirs.
 *
 * Terms
 *   file      an opened handle (emmap_file): a descriptor, options, a cursor and a reference on a mapping
 *   mapping   one mmap region, reference-counted
 *   position  a byte offset counted from where the file's mapping begins (its offset in the file on disk)
 *   direct    a read that aliases the mapping (emmap_slice); a copy does not
 *   cursor    where the next emmap_read, emmap_read_line or emmap_write begins
 *
 * Numbers
 *   Positions and lengths are bytes, as off_t has them: from 2^63 up they are EINVAL, which is also what a
 *   negative number becomes when a door casts it. No sum of them overflows.
 *
 * Errors
 *   Every function that can fail returns an emmap_error: 0, an errno value, or one of the codes below.
 *   After a failure emmap_last_failure() tells more. Besides what a function lists, each one that takes an
 *   emmap_file may answer
 *     EMMAP_CLOSED   emmap_close has been called on the file
 *     EFAULT         a page of the mapping went away under an access: another process truncated the file, or
 *                    the disk could not supply or take the page. The file answers EFAULT from then on, until
 *                    it is closed and opened anew; nothing that was asked for counts as done.
 *
 * Threads
 *   Every function may be called from any thread at any time, on one file too, but for emmap_free, which must
 *   be the last call on its file. Reads and writes of one file exclude each other through a read-write lock
 *   (not with EMMAP_OPEN_NOLOCK) for up to EMMAP_PIECE bytes at a time: a longer one may interleave with others
 *   after each piece. Memory stays safe with EMMAP_OPEN_NOLOCK too. The lock is the file's own: other files,
 *   processes and direct accesses on the same bytes are not excluded by it.
 *
 * Signals
 *   The first emmap_open installs a handler for SIGBUS (SA_SIGINFO | SA_ONSTACK). It acts on addresses inside
 *   this library's mappings and hands everything else to the handler that was there before. Where SIGBUS is
 *   blocked the kernel ends the process instead, so a thread's first call on a file unblocks it there; a thread
 *   that only looks at slices has to see to it itself.
 */
#ifndef EMMAP_H
#define EMMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------------------- */

/* Values from 1 to 4095 are errno's, carried through as they are; the others are the core's own. */
typedef enum emmap_error {
    EMMAP_OK = 0,
    EMMAP_EOF = 4096, /* nothing to read at or past the end; an answer rather than a failure */
    EMMAP_BADARG,     /* an option that does not exist or has no such value */
    EMMAP_CLOSED,     /* the file was closed */
    EMMAP_ALIGNMENT,  /* a 64-bit operation on an address that is not a multiple of 8 */
    EMMAP_FULL,       /* no room, and the structure may not grow */
    EMMAP_FIXED_SIZE, /* the file was opened with EMMAP_OPEN_FIXED_SIZE and would have to change its size */
    EMMAP_CORRUPT,    /* the file does not hold what it should; it was left as it was */
    EMMAP_ERROR_LIMIT = 0x7fff /* no error; gives the enum room for every errno */
} emmap_error;

/*
 * The error's name as Node has it: "ENOENT", and "EMMAP_CLOSED" for the core's own. Never NULL; an errno that no
 * file system answers is "UNKNOWN". The string is static.
 */
const char *emmap_error_name(emmap_error error);

/* The error's name as Erlang has it: "enoent", "closed". Never NULL; the string is static. */
const char *emmap_error_atom(emmap_error error);

/* A sentence fragment for people: "no such file or directory". Never NULL; the string is static. */
const char *emmap_error_message(emmap_error error);

/* What a failure is about. */
typedef enum emmap_failure_subject {
    EMMAP_ABOUT_FILE,        /* the file or the call */
    EMMAP_ABOUT_FILE_SYSTEM, /* the file's file system, which lacks what is needed: `reason` names it */
    EMMAP_ABOUT_COPY         /* the file that emmap_backup makes, or its folder */
} emmap_failure_subject;

/* What there is to say about a failure beyond its code. */
typedef struct emmap_failure {
    emmap_error error;
    const char *syscall; /* the system call that failed, or NULL where none did; static */
    const char
        *reason; /* what was wrong, for people, or NULL. Never freed; who has a lock is written over after 64
                          * more failures that say so */
    uint64_t offset; /* with EMMAP_CORRUPT: where in the file, in bytes */
    uint64_t
        found; /* of emmap_counters_open, with EINVAL for another number: how many the file has; else 0 */
    uint64_t asked; /* and how many were asked for */
    emmap_failure_subject about;
} emmap_failure;

/*
 * The last failure on the calling thread. It is only meaningful after a call that failed, and changes with
 * the next one that fails. Never NULL; owned by the thread.
 */
const emmap_failure *emmap_last_failure(void);

/* ---- Options ------------------------------------------------------------------------------------------ */

typedef enum emmap_flag {
    EMMAP_OPEN_READ = 1 << 0,  /* open for reading; what is meant where no EMMAP_OPEN_WRITE is given either */
    EMMAP_OPEN_WRITE = 1 << 1, /* open for writing, and reading */
    EMMAP_OPEN_CREATE = 1 << 2, /* create the file if it is missing; needs write */
    EMMAP_OPEN_TRUNCATE =
        1 << 3, /* empty the file first; with no size and length it keeps its size; needs write */
    EMMAP_OPEN_SHARED = 1 << 4,          /* MAP_SHARED: writes reach the file and every other mapping of it */
    EMMAP_OPEN_PRIVATE = 1 << 5,         /* MAP_PRIVATE: writes stay here; the default */
    EMMAP_OPEN_SHARED_VALIDATE = 1 << 6, /* as shared, and the kernel refuses flags that it does not know */
    EMMAP_OPEN_DIRECT = 1 << 7,          /* the door is to read by emmap_pread_direct and the like */
    EMMAP_OPEN_ANON = 1 << 8, /* no path: memory that lives as long as its mappings; needs write, a size */
    EMMAP_OPEN_AUTO_UNLINK = 1 << 9,    /* unlink the file at close, if the path still leads to it */
    EMMAP_OPEN_FIXED = 1 << 10,         /* map at `address` exactly (MAP_FIXED_NOREPLACE) */
    EMMAP_OPEN_FIXED_SIZE = 1 << 11,    /* never change the file's size after open */
    EMMAP_OPEN_EXCLUSIVE = 1 << 12,     /* nobody else may have the file open for writing, now or later */
    EMMAP_OPEN_NOLOCK = 1 << 13,        /* no read-write lock between threads */
    EMMAP_OPEN_NORESERVE = 1 << 14,     /* reserve neither swap nor disk space: growth makes a sparse file */
    EMMAP_OPEN_POPULATE = 1 << 15,      /* fault all pages in at open (MAP_POPULATE); may take long */
    EMMAP_OPEN_NONBLOCK = 1 << 16,      /* with populate: only pages that are in memory (MAP_NONBLOCK) */
    EMMAP_OPEN_SYNC = 1 << 17,          /* MAP_SYNC, for persistent memory; implies shared_validate */
    EMMAP_OPEN_HUGETLB = 1 << 18,       /* huge pages: with anon, or for a file on hugetlbfs */
    EMMAP_OPEN_HUGE_2MB = 1 << 19,      /* huge pages of 2 MiB; implies hugetlb */
    EMMAP_OPEN_HUGE_1GB = 1 << 20,      /* huge pages of 1 GiB; implies hugetlb */
    EMMAP_OPEN_NOCACHE = 1 << 21,       /* accepted; no effect on Linux */
    EMMAP_OPEN_UNINITIALIZED = 1 << 22, /* accepted; no effect on kernels with memory protection */
    EMMAP_OPEN_DEBUG = 1 << 24,         /* accepted; no effect */
    /* Grow a queue or storage that is smaller than `size`. A plain file is grown anyway. */
    EMMAP_OPEN_FIT = 1 << 23,
    /* Never grow a file that has bytes, whatever `size` and `length` say. */
    EMMAP_OPEN_KEEP_SIZE = 1 << 25,
    /* The same, and the file must have offset + size bytes: else EINVAL. A `length` that is the file's whole size maps
     * what is behind an `offset` of whole pages. */
    EMMAP_OPEN_EXACT = 1 << 26,
    /* Of a queue or block storage: go over to another file that the path comes to mean. */
    EMMAP_OPEN_FOLLOW = 1 << 28,
    /* As shared, also where the file system does not show all who open the file the same memory. */
    EMMAP_OPEN_SHARED_UNSAFE = 1 << 30,
    /* Of counters: as many at the least; a file that has fewer gets more. */
    EMMAP_OPEN_GROW = 1 << 29,
} emmap_flag;

/* Zero everything, then set what you need; emmap_option_set does it by name. */
typedef struct emmap_options {
    uint32_t flags;  /* of emmap_flag */
    uint32_t mode;   /* with has_mode: permission bits of a created file, less the umask; up to 07777 */
    bool has_mode;   /* without it a created file gets EMMAP_MODE less the umask */
    bool mode_exact; /* with has_mode: the bits as they are, whatever the umask */
    uint64_t offset; /* where in the file position 0 is; any byte */
    uint64_t length; /* bytes to map; 0: to the end of the file, and the mapping follows its growth */
    uint64_t
        size; /* the file is grown to offset + size at least, unless EMMAP_OPEN_KEEP_SIZE; huge pages come whole */
    uint64_t
        address; /* where to map, a hint unless EMMAP_OPEN_FIXED; 0: anywhere; a multiple of the page size */
    uint64_t max_inc_size; /* emmap_resize to 0 doubles up to this step; 0: EMMAP_MAX_INC_SIZE */
    /* With has_lock_timeout: for how many milliseconds an operation waits for locks that other handles and processes
     * have (see Waiting for locks); 0: it tries once; EMMAP_NO_LIMIT. Without it EMMAP_LOCK_TIMEOUT. */
    uint64_t lock_timeout;
    bool has_lock_timeout;
} emmap_options;

#define EMMAP_LOCK_TIMEOUT 5000u
#define EMMAP_NO_LIMIT UINT64_MAX
#define EMMAP_MODE 0600
#define EMMAP_MAX_INC_SIZE (64u << 20)
#define EMMAP_PIECE (64u << 10)

/*
 * Sets one option by emmap's own name for it: "read", "populate", … with value NULL, and "address", "mode" (exact),
 * "chmod" (less the umask), "size", "max_inc_size", "offset", "length", "lock_timeout" with *value. "lock" and "nolock" are
 * the two states of EMMAP_OPEN_NOLOCK, the last one wins.
 * Errors: EMMAP_BADARG for a name that is not an option, a missing value or one too many, a mode over 07777.
 */
emmap_error emmap_option_set(emmap_options *options, const char *name, const uint64_t *value);

/* ---- Open and close ----------------------------------------------------------------------------------- */

typedef struct emmap_file emmap_file;
typedef struct emmap_mapping emmap_mapping;

/*
 * Opens and maps `path`. On success *file is the caller's, to be ended by emmap_close and emmap_free; on
 * failure it is NULL and a file that did not exist is not there (one that this call created is removed).
 * Creation is atomic: of several openers one creates, and `existed` tells which. Space is reserved before it
 * is mapped (not with EMMAP_OPEN_NORESERVE), so that a full disk is ENOSPC here and not a fault later.
 * `path` is ignored with EMMAP_OPEN_ANON. The descriptor has O_CLOEXEC. A forked child lets go of descriptor and mapping at
 * once: it can't use the file (EFAULT, whatever the parent's threads were doing; slices become zeros), may close and
 * free it, and opens its own.
 *
 * Errors: what open, fstat, fallocate and mmap say, and
 *   EINVAL   flags that contradict each other; create, truncate or anon without what they need; an empty file
 *            and no size; another size than EMMAP_OPEN_EXACT asks for; offset and length past the end of a file
 *            that may not be grown; a misaligned address
 *   EISDIR   a directory
 *   ENODEV   a FIFO, socket or device
 *   EEXIST   EMMAP_OPEN_FIXED and something is mapped there already
 *   EBUSY    another opener is exclusive, or EMMAP_OPEN_EXCLUSIVE and there is another opener
 *   EFBIG    the size is more than a file can have
 *   ENOTSUP  EMMAP_OPEN_SYNC on storage that is not persistent memory; EMMAP_OPEN_SHARED on a file system that does not
 *            show all who open the file the same memory (FUSE, network file systems: docs/file-systems.md). A plain file
 *            or one of counters opens there with EMMAP_OPEN_SHARED_UNSAFE, a queue or block storage never
 */
emmap_error emmap_open(const char *path, const emmap_options *options, emmap_file **file);

/*
 * Closes the file: its descriptor and its reference on the mapping go. Memory is unmapped when the last slice
 * is released and the last call in flight is back. Closing again is EMMAP_OK. Never fails for a valid file,
 * never waits for a long read, a sync or another process.
 */
emmap_error emmap_close(emmap_file *file);

/* Gives the handle's memory back, closing it first if need be. No call on it may be in flight or follow;
 * slices may outlive it. NULL is ignored. */
void emmap_free(emmap_file *file);

/* What open found and made. `path` belongs to the file and is "" with EMMAP_OPEN_ANON. */
typedef struct emmap_info {
    const char *path;
    uint32_t flags;        /* as given, with EMMAP_OPEN_READ and the sharing made explicit */
    bool existed;          /* the file was there before the open */
    uint64_t offset;       /* as given */
    uint64_t size;         /* bytes mapped now */
    uint64_t lock_timeout; /* as given, or EMMAP_LOCK_TIMEOUT */
} emmap_info;

/* Works on a closed file as well; its size is then 0. */
void emmap_describe(emmap_file *file, emmap_info *info);

/*
 * Whether the path that the file was opened by still means this file: false once it has been unlinked, or another one was
 * put or renamed there. What is done with the handle from then on nobody else sees who opens the path. A relative path
 * counts from the folder that was the current one at open. Memory without a file is always current.
 * Errors: what stat says of a path that can't be looked up.
 */
emmap_error emmap_is_current(emmap_file *file, bool *current);

/*
 * Words that a door may look at without a call. They live until emmap_free and until the last slice is
 * released. `status` is 0 while the file is usable; read it after a direct access to learn whether the bytes
 * were the file's. `cursor` may be written by a door whose thread alone uses the file.
 */
typedef struct emmap_control {
    uint32_t status; /* EMMAP_STATUS_* */
    uint32_t
        aliases; /* further mappings of the file in this process, by which a caller's memory may show its bytes */
    uint64_t cursor;
} emmap_control;

#define EMMAP_STATUS_CLOSED 1u
#define EMMAP_STATUS_FAULTED 2u

emmap_control *emmap_file_control(emmap_file *file);

/*
 * Makes a copy of the file under the name `to`, on the disk when it returns, while anybody goes on using the file.
 *
 *   a queue     its messages as they are at one moment, moved to the beginning of a file of no more than they need
 *   a storage   its blocks as they are at one moment, under their addresses
 *   counters    each counter as it is when its turn comes
 *   other files the mapping's bytes, EMMAP_PIECE at a time, as emmap_pread sees them: what several pieces have in common
 *               holds only if nobody writes meanwhile
 *
 * Others wait for no longer than it takes to copy the messages or blocks in memory, of which the call needs as much; never
 * for the disk, and not at all for a handle that may not write. (There EAGAIN says that they change the file all the
 * time, and a list of blocks that is just being stored or freed may be copied half done.) A copy of a queue that was synced is on the disk, and has to be synced again to be kept so. Holes stay holes. The
 * copy has the file's permission bits, and appears whole or not at all, whatever is killed when.
 * Errors: EEXIST where there is anything of that name; as a look at what the file holds; what open, write, fsync and
 * link say; ENOMEM.
 */
emmap_error emmap_backup(emmap_file *file, const char *to);

/* ---- Copying reads and writes ------------------------------------------------------------------------- */

/*
 * Where a copying read puts its bytes. The core cuts the length to what the file holds, calls `allocate` at
 * most once for exactly that much, and fills it; where several are read, once for each, when those before are filled.
 * `allocate` may be called with the file's locks held: it must
 * not call the core. If it returns NULL the read is ENOMEM and moves nothing. What was allocated belongs to
 * the caller whatever the read returns.
 */
typedef struct emmap_sink {
    void *(*allocate)(void *context, size_t length);
    void *context;
} emmap_sink;

/*
 * Copies up to `length` bytes at `position`; fewer at the end of the mapping.
 * Length 0 reads "". Errors: EMMAP_EOF at or past the end; EINVAL.
 */
emmap_error emmap_pread(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink);

/* The same into the caller's own memory, which may be a slice of the same file; *transferred bytes of it are filled, in
 * order. Errors: as emmap_pread, ENOMEM. */
emmap_error emmap_preadv(emmap_file *file, uint64_t position, const struct iovec *vectors, size_t count,
                         uint64_t *transferred);

/*
 * Writes all of the vectors at `position`, or nothing: a mapping does not grow by itself. Nothing to write is
 * EMMAP_OK at any position below 2^63. Whoever else maps the file may see the bytes arrive piece by piece.
 * The vectors may lie in slices of the same file, of any handle and any of its mappings, and overlap with the bytes
 * that are written: they are written as they were before the call, as memmove does. Several vectors of which one
 * overlaps are copied to memory of the process first.
 * Errors: EACCES for a read-only file, EINVAL where the write would pass the end, ENOMEM.
 */
emmap_error emmap_pwrite(emmap_file *file, uint64_t position, const struct iovec *vectors, size_t count);

/* Reads up to `length` bytes at the cursor and moves it behind them. Length 0 reads "".
 * Errors: EMMAP_EOF at or past the end; EINVAL. */
emmap_error emmap_read(emmap_file *file, uint64_t length, const emmap_sink *sink);

/* Reads from the cursor to the next "\n", which belongs to the line, or to the end. Of a line that ends in "\r\n" the
 * "\r" is left out, as OTP's file:read_line/1 does. Errors: EMMAP_EOF. */
emmap_error emmap_read_line(emmap_file *file, const emmap_sink *sink);

/* Writes all of the vectors at the cursor and moves it behind them. Errors: as emmap_pwrite. */
emmap_error emmap_write(emmap_file *file, const struct iovec *vectors, size_t count);

typedef enum emmap_whence { EMMAP_FROM_START, EMMAP_FROM_CURSOR, EMMAP_FROM_END } emmap_whence;

/* Moves the cursor; it may be set past the end, where a read answers EMMAP_EOF.
 * Errors: EINVAL where it would be below 0 or above 2^63 - 1; the cursor then stays. */
emmap_error emmap_position(emmap_file *file, int64_t offset, emmap_whence whence, uint64_t *position);

/* ---- Direct reads ------------------------------------------------------------------------------------- */

/*
 * Bytes of a mapping, with a reference on it. The bytes are the mapping's own: whoever writes the file
 * changes them, and if they go away (see EFAULT) they read as zeros and emmap_slice_faulted says so. They may
 * be written through where the file was opened with EMMAP_OPEN_WRITE. The slice outlives emmap_close and
 * emmap_free; end it by emmap_slice_release.
 */
typedef struct emmap_slice {
    uint8_t *data;
    uint64_t length;
    emmap_mapping *mapping;
    struct emmap_loan *loan; /* the core's */
} emmap_slice;

/* As emmap_pread, emmap_read and emmap_read_line, without copying. On failure, and of no bytes, the slice is zeroed. A
 * line of which a "\r" is left out is not bytes of the mapping: it goes to `copy`, and the slice stays zeroed. */
emmap_error emmap_pread_direct(emmap_file *file, uint64_t position, uint64_t length, emmap_slice *slice);
emmap_error emmap_read_direct(emmap_file *file, uint64_t length, emmap_slice *slice);
emmap_error emmap_read_line_direct(emmap_file *file, emmap_slice *slice, const emmap_sink *copy);

/* True once any page of any mapping of the slice's file has gone away. */
bool emmap_slice_faulted(const emmap_slice *slice);

/* Ends the slice and zeroes it; unmaps when it was the last reference. A zeroed slice is ignored. */
void emmap_slice_release(emmap_slice *slice);

/*
 * Pins, for memory of a door that its threads use without counting, and that one thread takes away while others may be
 * using it. A thread asks for its pin once, by emmap_pin_self; NULL: there is no memory for it. emmap_pin_hold answers what
 * *place holds. Until emmap_pin_release the calling thread may use the memory; it makes no other call of the core meanwhile,
 * and waits for nothing. The thread that takes the memory away first puts something else into *place, by an atomic store,
 * and then calls emmap_pin_drain, which returns when no thread uses the memory any more. Inline, since a call takes as
 * long as the pin.
 */
typedef struct emmap_pin {
    const void *held;
    bool fenced; /* emmap_pin_drain can't fence for this thread (membarrier(2)): it fences itself */
} emmap_pin;

emmap_pin *emmap_pin_self(void);
void emmap_pin_drain(const void *memory);

static inline void *emmap_pin_hold(emmap_pin *pin, void *const *place)
{
    void *memory = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    for (;;) {
        __atomic_store_n(&pin->held, memory, __ATOMIC_RELAXED);
        /* Pairs with the drainer's fence. */
        if (pin->fenced)
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        else
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
        void *const again = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        if (again == memory)
            return memory;
        memory = again;
    }
}

static inline void emmap_pin_release(emmap_pin *pin)
{
    /* Release: what was done under the pin comes before what the drainer does next. */
    __atomic_store_n(&pin->held, (const void *)0, __ATOMIC_RELEASE);
}

/* ---- Size --------------------------------------------------------------------------------------------- */

/* Bytes mapped now. */
emmap_error emmap_size(emmap_file *file, uint64_t *size);

/*
 * Changes the size to `size` bytes, or by the growth policy where it is 0: double up to the step of
 * max_inc_size, then by that step. The size on disk is read first. Growing never shrinks a file that somebody
 * else has made larger: the mapping then takes all of it (with options.length, just `size`). Shrinking
 * truncates the file, unless options.length let the file go on behind the mapping. Slices keep the old
 * mapping. In a private mapping bytes written before are kept. *result, if not NULL, is the size after the
 * call.
 *
 * Other calls on the file go on while a shared mapping grows. They wait while it shrinks, which is as long as
 * ftruncate takes, and while a private one is replaced, which reads all of it.
 *
 * Errors: EACCES for a read-only file; EMMAP_FIXED_SIZE for another size than it has; ENOTSUP with EMMAP_OPEN_FIXED;
 * EINVAL from 2^63 up, and where a queue or block storage would shrink; EFBIG, ENOSPC and ENOMEM, with the file as it
 * was; EBUSY where it would shrink below a slice that is alive or a read or write in flight.
 */
emmap_error emmap_resize(emmap_file *file, uint64_t size, uint64_t *result);

/* Makes the mapping cover what another process or file has added at the end. EMMAP_OK where nothing was, and for a
 * mapping whose size is settled (options.length, EMMAP_OPEN_FIXED). Errors: what fstat and mmap say. */
emmap_error emmap_follow(emmap_file *file, uint64_t *size);

/* Ends the file at the cursor, as emmap_resize to there. Errors: as emmap_resize; EINVAL at cursor 0, since
 * nothing is a size that can't be mapped, and where the cursor is past the end. */
emmap_error emmap_truncate(emmap_file *file);

/* Reserves disk space for a range of the mapping. Errors: EACCES; EINVAL past the end or for length 0;
 * ENOSPC. */
emmap_error emmap_allocate(emmap_file *file, uint64_t position, uint64_t length);

/* ---- Durability --------------------------------------------------------------------------------------- */

/* Starts to write changed pages out and does not wait for it (sync_file_range on Linux). */
emmap_error emmap_flush(emmap_file *file);

/*
 * Returns when the bytes, the size and, for a file that this handle created, its directory entry are on disk. May take
 * seconds, and on a queue or block storage waits for the operation in progress first. What of a queue or storage was
 * synced is there after a power cut, until it is popped or freed: from its first sync on, pushes that move messages and
 * stores that use new room wait for the disk now and then. Only a handle that knows what the file holds and may write
 * it can promise that; docs/durability.md says what is left of the rest.
 * Errors: ESTALE where the path means another file now, or none: what was written is on the disk, where nobody who opens
 * the path finds it (not of a private mapping); EIO and what else msync and fsync say. The kernel tells a failure once and may have thrown the bytes away, so
 * every later sync of this handle fails with the same error; what the disk has is found out by opening the file anew.
 */
emmap_error emmap_sync(emmap_file *file);

/* As emmap_sync, but for metadata that is not needed to read the bytes back (fdatasync). */
emmap_error emmap_datasync(emmap_file *file);

typedef enum emmap_advice {
    EMMAP_ADVICE_NORMAL,
    EMMAP_ADVICE_SEQUENTIAL,
    EMMAP_ADVICE_RANDOM,
    EMMAP_ADVICE_NO_REUSE,
    EMMAP_ADVICE_WILL_NEED,
    EMMAP_ADVICE_DONT_NEED /* no bytes are lost: ignored in private mappings */
} emmap_advice;

/* Tells the kernel how a range will be used; length 0: to the end. A range past the end is cut.
 * Errors: EINVAL for positions and lengths from 2^63 up, and for an advice that is none. */
emmap_error emmap_advise(emmap_file *file, uint64_t position, uint64_t length, emmap_advice advice);

/* ---- Atomic 64-bit operations ------------------------------------------------------------------------- */

/*
 * On the signed native-endian word at `position`, sequentially consistent between all threads and processes
 * that map the file shared, lock-free. Arithmetic wraps. *old, if not NULL, is what the word held before.
 * Errors: EACCES for a read-only file (but for load); EINVAL where the word is not wholly within the mapping;
 * EMMAP_ALIGNMENT where its address (offset + position) is not a multiple of 8.
 */
emmap_error emmap_patomic_add(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_sub(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_and(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_or(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_xor(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_exchange(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
/* Stores `replacement` if the word holds `expected`; it did so if and only if *old == expected. Strong. */
emmap_error emmap_patomic_compare_exchange(emmap_file *file, uint64_t position, int64_t expected,
                                           int64_t replacement, int64_t *old);
emmap_error emmap_patomic_load(emmap_file *file, uint64_t position, int64_t *value);
emmap_error emmap_patomic_store(emmap_file *file, uint64_t position, int64_t value);

/* ---- Counters ----------------------------------------------------------------------------------------- */

/*
 * Opens a counters file for `count` counters, or creates one with all of them 0. Count 0 takes as many as the
 * file has, and creates 1. With EMMAP_OPEN_GROW, which needs EMMAP_OPEN_WRITE, a file that has fewer gets as many, the new
 * ones 0, and one that has more is opened with all; handles that are open go on with as many as they had. A death meanwhile
 * leaves the old number or the new one. The mapping is always shared. Of `options`, which may be NULL, the flags that say
 * how to map and the mode are used; without EMMAP_OPEN_READ and EMMAP_OPEN_WRITE the file is opened for
 * writing and created if it is missing. The file's other functions work on it as well (but emmap_resize:
 * EMMAP_FIXED_SIZE). A creator that died is finished by the next opener.
 * Errors: as emmap_open, and
 *   EINVAL         more than 2^32 counters; the file is a counters file with another count, and the failure says both
 *   EMMAP_CORRUPT  the file is something else; it is left as it was
 */
emmap_error emmap_counters_open(const char *path, uint64_t count, const emmap_options *options,
                                emmap_file **file);

/* How many counters the file has; 0 for a file that emmap_counters_open did not open. Works when closed. */
uint64_t emmap_counters_length(emmap_file *file);

/* On counter `index`, from 0: as the emmap_patomic functions on its word. Errors: EACCES; EINVAL for an index
 * beyond the last, and for a file that is not a counters file. */
emmap_error emmap_counter_add(emmap_file *file, uint64_t index, int64_t value, int64_t *old);
emmap_error emmap_counter_sub(emmap_file *file, uint64_t index, int64_t value, int64_t *old);
emmap_error emmap_counter_set(emmap_file *file, uint64_t index, int64_t value, int64_t *old);
emmap_error emmap_counter_get(emmap_file *file, uint64_t index, int64_t *value);
emmap_error emmap_counter_compare_exchange(emmap_file *file, uint64_t index, int64_t expected,
                                           int64_t replacement, int64_t *old);

/* ---- Waiting for words -------------------------------------------------------------------------------- */

/*
 * A wait ends when the word of a file holds another value than the expected one, or when somebody calls emmap_notify on
 * the word: a thread of any process that has the file open, by any handle. The way to use it: load the word, decide by
 * its value to wait, wait with that value as the expected one, and load again; to store another value, then notify.
 *
 *   Nothing is lost    A wait ends if the word holds another value when emmap_notify is called: at once, however the two
 *                      calls fall together. It compares all 64 bits.
 *   Without a change   A notify that finds the expected value wakes whom it finds asleep. Those are all waits of its own process;
 *                      one of another process only some 50 µs after emmap_wait_begin, and while it is not stopped.
 *   Without a notify   A wait ends within 100 ms too where the word has changed and nobody notified, since the
 *                      process that was about to was killed.
 *
 * Who waits longest is woken first; waits that begin in the same moment are in either order. It works for read-only files
 * and between PID namespaces. Where the system can't have threads sleep on memory that processes share (other than Linux), a
 * change is seen within 100 ms, and a notify that changes nothing reaches only waits of its own process.
 */

/* As many waits may go on in a process at the same time; each has a thread, which sleeps. */
#define EMMAP_WAIT_LIMIT 1024u

typedef struct emmap_wait emmap_wait;

/*
 * How a door learns that a wait has ended. It is called once, from any thread (the one that calls emmap_notify,
 * emmap_close, emmap_wait_begin among them), with no lock of the core's held, and must return soon. `result` is EMMAP_OK,
 *   ETIMEDOUT     the time is over
 *   EMMAP_CLOSED  the file was closed
 *   EFAULT        the file was truncated
 *   EINVAL        the file has become shorter by emmap_resize, and the word is not in it any more
 */
typedef struct emmap_waiter {
    void (*done)(void *context, emmap_error result);
    void *context;
} emmap_waiter;

/*
 * Begins to wait for the word at `position`, up to `timeout` milliseconds (EMMAP_NO_LIMIT: as long as it takes). It does
 * not block. On EMMAP_OK the waiter will be called, perhaps before this returns, unless emmap_wait_cancel says otherwise; and
 * *wait is the caller's, to be ended by emmap_wait_free. Else *wait is NULL, and the waiter is not called.
 * A wait does not keep the file open.
 * Errors: EAGAIN where the word holds another value now; ETIMEDOUT for a timeout of 0 where it does not;
 * EINVAL, EMMAP_ALIGNMENT as emmap_patomic_load, and EINVAL for a private mapping that may be written to; ENOMEM where there is
 * no memory or no thread, and beyond EMMAP_WAIT_LIMIT.
 */
emmap_error emmap_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                             const emmap_waiter *waiter, emmap_wait **wait);

/* Ends the wait. True: its waiter is not called, now or later. False: it was called, or is being called. A notify that
 * came in the same moment goes to the next one who waits. */
bool emmap_wait_cancel(emmap_wait *wait);

/* Gives the memory back, cancelling first if need be. NULL is ignored. */
void emmap_wait_free(emmap_wait *wait);

/* Wakes up to `count` of those who wait for the word; EMMAP_NO_LIMIT: all. *woken, unless NULL, is how many, of all
 * processes; a thread that was about to sleep when another notify ended its wait may be counted once more. It works on a read-only file too. Errors: EINVAL, EMMAP_ALIGNMENT as emmap_patomic_load. */
emmap_error emmap_notify(emmap_file *file, uint64_t position, uint64_t count, uint64_t *woken);

/* The same on counter `index`. Errors: EINVAL also for an index beyond the last. */
emmap_error emmap_counter_wait_begin(emmap_file *file, uint64_t index, int64_t expected, uint64_t timeout,
                                     const emmap_waiter *waiter, emmap_wait **wait);
emmap_error emmap_counter_notify(emmap_file *file, uint64_t index, uint64_t count, uint64_t *woken);

/* ---- Waiting for locks -------------------------------------------------------------------------------- */

/*
 * An operation waits for locks of other handles and processes for the file's lock_timeout at most. Then it is ETIMEDOUT:
 * nothing has been done, and it may be tried again. The lock is somebody's who is alive: stopped, or busy for that
 * long; of a queue's or block storage's lock in memory the failure's reason says whose. Opening a queue, storage or counters file waits likewise, and so does what changes a file's size.
 */

/*
 * The most that any operation in this process waits for locks, in milliseconds; EMMAP_NO_LIMIT, which is none, unless set.
 * A door sets it that has a better way to wait: it waits by itself, and tries again.
 */
void emmap_lock_limit(uint64_t milliseconds);

/*
 * Whether operations of the calling thread on queues and block storages may take longer than what they do themselves
 * takes: for the file to grow, for the disk, for many bytes to be moved. true unless set. A thread that may not gets
 * EAGAIN instead, and ETIMEDOUT at once for a lock that somebody has: nothing has been done, and another thread, or
 * this one once it may, can do it.
 */
void emmap_may_wait(bool yes);

/* ---- Queues ------------------------------------------------------------------------------------------- */

/*
 * A persistent FIFO of messages of one byte or more, shared by threads, handles and processes. A file of at most
 * 4 GiB - 1; one message takes up to 15 bytes besides its own.
 *
 *   Exclusion   Every operation holds the file's lock while it looks or changes something: a word in memory that all
 *               writers share, in a folder beside the file (docs/live.md), or one of the kernel. It waits for others
 *               that do, for lock_timeout at most (ETIMEDOUT): a stopped process is never robbed, a dead one holds
 *               nothing. (Nor does a child of its, but one made by clone(2) itself, which fork's handlers do not see:
 *               that shares the lock of an operation in which its parent dies until it ends or execs.) A process is
 *               dead when the kernel has taken its memory apart and, where that is asked for, written its core dump.
 *               Order is kept for each producer, and no message goes to two readers.
 *   Exclusive   With EMMAP_OPEN_EXCLUSIVE the lock is held until the file is closed, and an operation makes no
 *               system call.
 *   Read-only   Without EMMAP_OPEN_WRITE the functions that only look work, without any lock; EAGAIN where
 *               others change the queue all the time, or somebody died while moving it and nobody has written
 *               to it since.
 *   Death       A process killed at any instruction leaves the queue as it was before the operation or as it is
 *               after it; the next operation of anybody finishes what has to be finished.
 *   Space       A queue that held much gives disk space back when it is empty or its messages are moved; see
 *               emmap_queue_compact. The file is never made shorter: others have it mapped.
 *   Path        What finds nothing (an empty queue, a block that is not there) looks, once a second at most, whether the
 *               path still means this file, and answers ESTALE where it does not: nobody who opens the path sees what
 *               is done here, and what others do there is not seen here. emmap_sync answers it as well. With
 *               EMMAP_OPEN_FOLLOW the handle goes over to the file that is there instead, if that can be opened as this
 *               one was, and the operation answers what it finds there; where there is no file it waits for one.
 *               Messages of the old file that were not read stay there.
 *   Payloads    The format does not record a payload's length: a message is read back with up to 7 zeros behind
 *               it (what emmap's own terms are not bothered by). A payload of 8 n bytes comes back as it was.
 *
 * Every function may also answer EINVAL for a file that is not a queue, EACCES where a read-only file would have
 * to be changed, EMMAP_CORRUPT with offset and reason, ETIMEDOUT, and what fcntl says (ENOLCK, ...).
 */

/*
 * Opens a queue, or creates one of options->size bytes (0: 4096). A queue that is there is opened whatever size is
 * asked for. `options` may be NULL; without EMMAP_OPEN_READ and EMMAP_OPEN_WRITE the file is opened for writing and
 * created if it is missing. It grows by the steps of max_inc_size as messages need it, but with
 * EMMAP_OPEN_FIXED_SIZE. The file's other functions work on it as well.
 * Errors: as emmap_open, and
 *   EINVAL         options that do not go with a queue: private, truncate, offset, length; a size below 16
 *   EFBIG          a size above 2^32 - 1
 *   EMMAP_CORRUPT  the file is something else, or not sound; it is left as it was
 *   EBUSY          other writers use the live folder beside the file (docs/live.md), and this handle can't; the reason
 *                  says why
 *   ENOSPC         1024 handles that may write share the file
 */
emmap_error emmap_queue_open(const char *path, const emmap_options *options, emmap_file **file);

/*
 * Makes a queue of a file that emmap_open has opened, as it is or, if it is all zeros, by making an empty one. Doing
 * it again is EMMAP_OK. Errors: EINVAL for a private mapping with a path, an offset that is not a multiple of 16, a
 * file that is a block storage; EMMAP_CORRUPT. The file then stays what it was.
 */
emmap_error emmap_queue_attach(emmap_file *file);

/*
 * Appends one message, gathered from the vectors. When it has returned EMMAP_OK the message is in the queue, once;
 * otherwise it is not. Messages that are there are moved down where that makes the room, else the file grows.
 * Errors: EINVAL for an empty message; EMMAP_FULL at 4 GiB - 1 or at a fixed size, also where synced messages would
 * have to move to where they overlap; EFBIG for a message that no queue can hold; ENOSPC and what else emmap_resize
 * says; in a synced queue, what emmap_datasync says. The messages that were there are as they were.
 */
emmap_error emmap_queue_push(emmap_file *file, const struct iovec *vectors, size_t count);

/* Appends `count` messages, one a vector: all of them, at once to others, or none. Errors: as emmap_queue_push. */
emmap_error emmap_queue_push_many(emmap_file *file, const struct iovec *messages, size_t count);

/*
 * Removes the first message and copies it out. Errors: EMMAP_EOF when the queue is empty; ENOMEM if the sink has no
 * memory; EBUSY while somebody is between emmap_queue_pop_begin and its end. The message then stays.
 */
emmap_error emmap_queue_pop(emmap_file *file, const emmap_sink *sink);

/* Removes up to `limit` messages, in order, and calls the sink once for each. All that were there are removed, or on
 * failure none, whatever the sink was given by then. *count is how many. Errors: as emmap_queue_pop; EINVAL for a
 * limit from 2^63 up. */
emmap_error emmap_queue_pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count);

/*
 * Copies the first message out and keeps every other reader, in this process and elsewhere, from removing it until
 * emmap_queue_pop_commit or emmap_queue_pop_abort: their pop, purge and erase are EBUSY. Meanwhile anybody may
 * push and look; but a queue of fixed size is full when its end is reached, since nothing moves. One message at a
 * time; any thread may end it. If the file is closed or the process dies before the commit the message stays,
 * first in the queue. Errors: as emmap_queue_pop.
 */
emmap_error emmap_queue_pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket);

/* Removes the message. On failure it stays, and may be popped again; after ETIMEDOUT the ticket is good still. Errors: EINVAL for a ticket that is used up;
 * ESTALE if a writer that takes no locks (emmap 2.x) has removed the message meanwhile. */
emmap_error emmap_queue_pop_commit(emmap_file *file, uint64_t ticket);

/* Leaves the message where it is. Errors: EINVAL for a ticket that is used up. */
emmap_error emmap_queue_pop_abort(emmap_file *file, uint64_t ticket);

/*
 * Begins to wait for a message, up to `timeout` milliseconds (EMMAP_NO_LIMIT: as long as it takes). It neither blocks nor
 * takes a message: the waiter is called with EMMAP_OK when there may be one, and whoever waits then pops, and waits again if
 * that finds none. One message wakes one of those who wait, in whichever process. Waits end, are cancelled and freed as
 * those of emmap_wait_begin, whose other results and limits hold here. A waiter that is killed after it was woken costs the
 * others 100 ms at most, and so does one who pushes and is killed before it wakes somebody. Where the handles of a queue share
 * no memory but the file (docs/live.md) a message of another handle is seen within 100 ms.
 * Errors: EAGAIN where there is a message now; ETIMEDOUT for a timeout of 0 where there is none; EACCES for a handle that
 * may not write, since it can't take a message out; ENOMEM as emmap_wait_begin.
 */
emmap_error emmap_queue_wait_begin(emmap_file *file, uint64_t timeout, const emmap_waiter *waiter,
                                   emmap_wait **wait);

/* Copies the first or the last message out; it stays. Errors: EMMAP_EOF when the queue is empty. */
emmap_error emmap_queue_peek_front(emmap_file *file, const emmap_sink *sink);
emmap_error emmap_queue_peek_back(emmap_file *file, const emmap_sink *sink);

/*
 * Two steps that remove only what the caller could use. The caller copies the first message out by
 * emmap_queue_glance_front, does with it whatever may fail, and then calls emmap_queue_remove. Nobody is kept out
 * meanwhile; if the message is no longer the first one, emmap_queue_remove says so and the caller begins anew.
 */

/*
 * Copies the first message out, which stays, and takes no lock where it can do without. Without the lock other
 * processes may change the bytes during the copy: it is a message for certain only if emmap_queue_remove accepts it.
 * Errors: EMMAP_EOF when the queue is empty; ENOMEM if the sink has no memory; EACCES for a read-only file.
 */
emmap_error emmap_queue_glance_front(emmap_file *file, const emmap_sink *sink);

/*
 * Removes the first `count` messages, all at once, if they are those that are given, byte for byte as they were
 * copied out: one message a vector. Errors: ESTALE where they are others, or fewer; EBUSY as emmap_queue_pop. All
 * messages then stay.
 */
emmap_error emmap_queue_remove(emmap_file *file, const struct iovec *messages, size_t count);

/*
 * As emmap_queue_remove for one message. Then it copies the message that is the first one now into the sink, as
 * emmap_queue_glance_front does, so that a caller who removes many one by one asks once for each. The sink is not called
 * where there is none, or a damaged one; if it has no memory, that is no error. It may be where `message` is.
 */
emmap_error emmap_queue_take(emmap_file *file, const struct iovec *message, const emmap_sink *next);

/* No place of any queue or block storage. A caller that is asked to go on at a number that 64 bits do not hold passes it. */
#define EMMAP_NO_PLACE (UINT64_MAX - 1)

typedef enum emmap_queue_direction {
    EMMAP_QUEUE_FORWARD, /* from the first message to the last */
    EMMAP_QUEUE_BACKWARD
} emmap_queue_direction;

/*
 * Copies up to `limit` messages out, from *place on, and calls the sink once for each; one call sees the queue as
 * it was at one moment. *place is 0 to begin, and afterwards where the next call goes on: a number from 1 to 2^63 - 1
 * that only this function reads. *count is how many. With sink NULL they are only counted. Messages that were popped
 * since the last call are passed over, and no others: a place knows which era of the queue it is from
 * (docs/formats.md). A single call with the limit INT64_MAX copies the whole queue at one moment, whatever others do.
 * Errors: EMMAP_EOF when there are no more; EINVAL for a limit from 2^63 up; ESTALE for a place that no step answered
 * (EMMAP_NO_PLACE is one), and for one that has lost its meaning, since the queue was emptied or its messages moved, and
 * where that can't be told; ENOMEM.
 */
emmap_error emmap_queue_walk(emmap_file *file, emmap_queue_direction direction, uint64_t limit,
                             uint64_t *place, const emmap_sink *sink, uint64_t *count);

/* How many messages there are. Takes time in proportion: the format has no count. */
emmap_error emmap_queue_length(emmap_file *file, uint64_t *length);

emmap_error emmap_queue_is_empty(emmap_file *file, bool *empty);

/* The queue's header: offsets in bytes from where the queue begins. */
typedef struct emmap_queue_metadata {
    uint64_t size;
    uint64_t head;      /* the first message */
    uint64_t tail;      /* behind the last one */
    uint64_t next_tail; /* as tail; differs on a read-only handle where a writer died */
} emmap_queue_metadata;

emmap_error emmap_queue_info(emmap_file *file, emmap_queue_metadata *info);

/* Lets a queue that has no message begin anew at its file's first byte, as emmap 2.x's purge does; a push does that by
 * itself. *empty: there was no message. A queue that was synced only tells. Errors: EACCES. */
emmap_error emmap_queue_reset(emmap_file *file, bool *empty);

/* Removes all messages; the file keeps its size. Errors: EBUSY as emmap_queue_pop. */
emmap_error emmap_queue_purge(emmap_file *file);

/* As emmap_queue_purge, and also where the queue is no longer sound: it is an empty one afterwards. */
emmap_error emmap_queue_erase(emmap_file *file);

/*
 * Gives disk space that no message needs back to the file system: moves the messages to the beginning where they can be
 * moved, and makes a hole of the pages behind them. The file keeps its size; emmap_queue_info's size becomes smaller, and
 * space is reserved again as it is needed, so that a push on a full disk fails as it does where the file would grow.
 * Operations do the same by themselves, but for those on a fixed size, when a queue becomes empty or its messages are
 * moved and 4 MiB or more, and three quarters of it, are free. *bytes is how much was given back.
 * Errors: ENOTSUP where the file system has no holes; as emmap_queue_push of a synced queue.
 */
emmap_error emmap_queue_compact(emmap_file *file, uint64_t *bytes);

/* ---- Block storage ------------------------------------------------------------------------------------ */

/*
 * A persistent storage of blocks of one size, each found again by the address that storing it gave. Addresses are
 * below the capacity, 64 to the power of `levels`, and are given out again when their block has been freed.
 * Exclusion, EMMAP_OPEN_EXCLUSIVE, read-only files and the errors that every function may answer are as with queues,
 * but that reading a block makes no system call and rarely waits for other processes; a storage may be of any size
 * that a file can have. Store, read and free take the same time however full it is.
 *
 *   Space       The space of many freed blocks goes back to the disk; see emmap_blocks_compact.
 *   Death       A process killed in the middle of a store or free leaves the block there or not; the next operation
 *               that may write repairs what depends on it. No address is given out twice and none is lost.
 */

/*
 * Opens a block storage, or creates one for blocks of `block_size` bytes in a file of options->size (0: 4096), which
 * grows by the steps of max_inc_size as blocks need it, but with EMMAP_OPEN_FIXED_SIZE. block_size is from 1 to
 * 2^32 - 1; 0: the file's. `levels` is from 2 to 5; 0: the file's, and 3, as emmap is built, for a new one. emmap itself
 * does not record the number; for a file that it wrote it follows from what is stored. `options` as with
 * emmap_queue_open.
 * Errors: as emmap_open, and
 *   EINVAL         a block size or number of levels out of range; the storage has another one; a number of levels that
 *                  the file does not tell; options that do not go with a storage: private, truncate, offset, length;
 *                  a size below 16
 *   EMMAP_CORRUPT  the file is no storage, or not sound; it is left as it was
 */
emmap_error emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                              const emmap_options *options, emmap_file **file);

/*
 * Makes a block storage of a file that emmap_open has opened, as it is or, if it is all zeros, by making an empty
 * one. Doing it again is EMMAP_OK. Errors: EINVAL for another block size or number of levels, a file that is a queue;
 * EMMAP_CORRUPT. The file then stays what it was.
 *
 * The functions below do that by themselves with a file that is none of a queue and a storage, and then take the
 * storage that the file has, also when emmap_blocks_init makes another one of it. A file that begins with zeros has blocks
 * of 0 bytes then, and room for none. In a private mapping a storage changes in the handle's own copy.
 */
emmap_error emmap_blocks_attach(emmap_file *file, uint64_t block_size, unsigned levels);

/*
 * Makes an EMPTY storage of a file that emmap_open has opened, whatever it holds: the bytes of blocks stay where they
 * are until others are stored, but none is found any more. `block_size` may be 0, for a storage without blocks. A mapping
 * below 16 bytes grows. Handles that were opened for another block size or number of levels answer EMMAP_CORRUPT from
 * then on. Errors: EACCES; EINVAL for a queue, and for another block size or number of levels than the handle was
 * opened for by emmap_blocks_open or emmap_blocks_attach; what emmap_resize says and, of a storage that was synced,
 * emmap_sync.
 */
emmap_error emmap_blocks_init(emmap_file *file, uint64_t block_size, unsigned levels);

/* Stores one block of exactly the storage's block size. When it has returned EMMAP_OK the block is there.
 * Errors: EINVAL for another length; EMMAP_FULL at capacity or a fixed size; ENOSPC and what else emmap_resize says. */
emmap_error emmap_block_store(emmap_file *file, const struct iovec *block, uint64_t *address);

/* Stores `count` blocks and fills as many addresses, or on failure stores none: nobody sees one of them then. A process
 * that dies on the way may leave some of them. Errors: as emmap_block_store. */
emmap_error emmap_block_store_many(emmap_file *file, const struct iovec *blocks, size_t count,
                                   uint64_t *addresses);

/* Copies the block out. Errors: ENOENT where no block has this address; ENOMEM. */
emmap_error emmap_block_read(emmap_file *file, uint64_t address, const emmap_sink *sink);

/* Errors: ENOENT where no block has this address. */
emmap_error emmap_block_free(emmap_file *file, uint64_t address);

/* Frees all of the blocks, or on failure none: nobody sees one of them gone then. A process that dies on the way may have
 * freed some. Errors: ENOENT where one of the addresses has no block, or comes twice; ENOMEM. */
emmap_error emmap_block_free_many(emmap_file *file, const uint64_t *addresses, size_t count);

/* No address: where a walk goes on that has come to the end. */
#define EMMAP_BLOCKS_END UINT64_MAX

/*
 * Copies up to `limit` blocks out, in the order in which they lie in the file, calls the sink once for each and puts
 * its address into `addresses`, which has room for `limit`. *place is the address to begin at, with a block or not, 0 for
 * all, and afterwards where the next call goes on: the address behind the last block's, or EMMAP_BLOCKS_END. What is
 * stored or freed in between is met or not, all other blocks exactly once. *count is how many.
 * Errors: EMMAP_EOF when there are no more; EINVAL for a limit from 2^63 up; ESTALE for a place that is no address;
 * ENOMEM.
 */
emmap_error emmap_blocks_walk(emmap_file *file, size_t limit, uint64_t *place, uint64_t *addresses,
                              const emmap_sink *sink, size_t *count);

/* How many blocks there are. Takes time in proportion to the most that there ever were, about 64 blocks a step. */
emmap_error emmap_blocks_count(emmap_file *file, uint64_t *count);

typedef struct emmap_blocks_metadata {
    uint32_t block_size; /* bytes */
    unsigned levels;
    uint64_t capacity; /* blocks */
} emmap_blocks_metadata;

/* Works on a closed file as well, if that was a storage. */
emmap_error emmap_blocks_info(emmap_file *file, emmap_blocks_metadata *info);

/*
 * Makes everything that follows from the lowest masks, which say what blocks there are, follow from them again. Looks
 * at `limit` addresses from *place on, in the order in which their blocks lie in the file, or at all of them for 0;
 * with each goes the group of 4096 that it is in. *place is 0 to begin; afterwards it is the address where the next call
 * goes on, or 0 when all is done. The storage may be used between two calls. An operation that was interrupted needs no
 * repair. Errors: EINVAL for a limit from 2^63 up; ESTALE for a place that is no address.
 */
emmap_error emmap_blocks_repair(emmap_file *file, uint64_t limit, uint64_t *place);

/*
 * Gives the disk space of free blocks back to the file system: makes holes of the pages behind the last block, and of
 * those before it that hold nothing but free blocks. The file keeps its size, and space is reserved again as stores need
 * it; a storage from which space was given back makes a system call more for each store, or each 1 MiB of an exclusive
 * handle. Freeing does the same by itself, but for handles of a fixed size, when 4 MiB and a quarter of the storage have
 * been freed, or all of it. *bytes is how much was given back.
 * Errors: ENOTSUP where the file system has no holes, and for a private mapping; of a synced storage as emmap_datasync.
 */
emmap_error emmap_blocks_compact(emmap_file *file, uint64_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
