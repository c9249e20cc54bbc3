/*
 * emmap: memory-mapped files that several runtimes share.
 *
 * This header is the only public header of the core, and its manual. The core is C11 over POSIX. It knows no
 * runtime: the doors (Node-API addon, Erlang NIF, port program) translate between the core and theirs.
 *
 * Terms
 *   file      an open handle (emmap_file): a descriptor, options, a cursor and a reference to a mapping
 *   mapping   one mmap region, with a reference count
 *   position  a byte offset from the beginning of the file's mapping, which begins at `offset` in the file on disk
 *   direct    a read that returns bytes of the mapping itself (emmap_slice) instead of a copy
 *   cursor    the position at which the next emmap_read, emmap_read_line or emmap_write begins
 *
 * Numbers
 *   Positions and lengths are bytes, below 2^63. A larger number is EINVAL. A negative number that a door casts to
 *   uint64_t is such a number. Sums never overflow.
 *
 * Errors
 *   A function that can fail returns an emmap_error: 0, an errno value, or one of the codes below. After a failure
 *   emmap_last_failure() tells more. A function that takes an emmap_file can always return
 *     EMMAP_CLOSED   The file is closed.
 *     EFAULT         An access met a page that is gone: another process truncated the file, or the disk failed to read or
 *                    write the page. The call counts as not done. Every later call on this handle returns EFAULT, too.
 *                    Close the file and open it again.
 *   Each function lists its other errors.
 *
 * Threads
 *   Any thread may call any function at any time, also on one file. The exception is emmap_free: it must be the last call on its
 *   file.
 *   A read-write lock of the file keeps its reads and writes apart, for EMMAP_PIECE bytes at a time: a longer copy takes the
 *   lock again for each piece. EMMAP_OPEN_NOLOCK turns this lock off; memory stays safe. The lock does not cover other handles,
 *   other processes and direct accesses.
 *
 * Signals
 *   The first emmap_open installs a SIGBUS handler (SA_SIGINFO | SA_ONSTACK). It handles addresses inside the mappings of
 *   this library and passes every other SIGBUS to the handler that was there before. If a thread blocks SIGBUS, the kernel
 *   ends the process instead. So the first call of a thread on a file unblocks SIGBUS in that thread. A thread that only
 *   reads slices has to unblock it by itself.
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

/* Values from 1 to 4095 are errno values. The others are the core's own. */
typedef enum emmap_error {
    EMMAP_OK = 0,
    EMMAP_EOF = 4096, /* nothing to read at or past the end; an answer, not a failure */
    EMMAP_BADARG,     /* no such option, or no such value of it */
    EMMAP_CLOSED,     /* the file was closed */
    EMMAP_ALIGNMENT,  /* a 64-bit operation on an address that is not a multiple of 8 */
    EMMAP_FULL,       /* no room, and the queue or block storage may not grow */
    EMMAP_FIXED_SIZE, /* the call would change the size of a file opened with EMMAP_OPEN_FIXED_SIZE */
    EMMAP_CORRUPT,    /* the file is damaged; it is unchanged */
    EMMAP_ERROR_LIMIT = 0x7fff /* no error; makes the enum wide enough for every errno value */
} emmap_error;

/* The name of the error in Node: "ENOENT", or "EMMAP_CLOSED" for an error of the core. "UNKNOWN" for an errno
 * value that no file system returns. Never NULL; a static string. */
const char *emmap_error_name(emmap_error error);

/* The name of the error in Erlang: the name above in lower case and without "EMMAP_", as "enoent" or "closed". Never
 * NULL. It is valid until the thread calls this function again. */
const char *emmap_error_atom(emmap_error error);

/* A phrase for people: "no such file or directory". Never NULL; a static string. */
const char *emmap_error_message(emmap_error error);

/* What a failure is about. */
typedef enum emmap_failure_subject {
    EMMAP_ABOUT_FILE,        /* the file, or the call */
    EMMAP_ABOUT_FILE_SYSTEM, /* the file system lacks a feature; `reason` names it */
    EMMAP_ABOUT_COPY         /* the file that emmap_backup makes, or its folder */
} emmap_failure_subject;

/* Details of a failure. */
typedef struct emmap_failure {
    emmap_error error;
    const char *syscall; /* the system call that failed, or NULL; static */
    const char *
        reason; /* what was wrong, for people, or NULL. Never freed. A reason that names a lock's owner stays valid for 64 more such failures */
    uint64_t offset; /* for EMMAP_CORRUPT: the position in the file on disk */
    uint64_t found;  /* for a wrong count in emmap_counters_open: the counters that the file has; else 0 */
    uint64_t asked;  /* and the count that the caller asked for */
    emmap_failure_subject about;
} emmap_failure;

/* The last failure on the calling thread. Valid after a call that failed, until the next call that fails.
 * Never NULL; the thread owns it. */
const emmap_failure *emmap_last_failure(void);

/* ---- Options ------------------------------------------------------------------------------------------ */

typedef enum emmap_flag {
    EMMAP_OPEN_READ = 1 << 0,   /* for reading; the default without EMMAP_OPEN_WRITE */
    EMMAP_OPEN_WRITE = 1 << 1,  /* for writing and reading */
    EMMAP_OPEN_CREATE = 1 << 2, /* create the file if it is missing; needs write */
    EMMAP_OPEN_TRUNCATE =
        1 << 3, /* drop all bytes first; without size and length the file keeps its size; needs write */
    EMMAP_OPEN_SHARED = 1 << 4,          /* MAP_SHARED: writes reach the file and all its other mappings */
    EMMAP_OPEN_PRIVATE = 1 << 5,         /* MAP_PRIVATE: writes stay in this mapping; the default */
    EMMAP_OPEN_SHARED_VALIDATE = 1 << 6, /* as shared, and the kernel refuses flags that it does not know */
    EMMAP_OPEN_DIRECT = 1 << 7,          /* for the door: read by emmap_pread_direct and its like */
    EMMAP_OPEN_ANON = 1 << 8,            /* memory without a file, ignores the path; needs write and a size */
    EMMAP_OPEN_AUTO_UNLINK = 1 << 9,     /* unlink the file at close, if the path still names it */
    EMMAP_OPEN_FIXED = 1 << 10,          /* map exactly at `address` (MAP_FIXED_NOREPLACE) */
    EMMAP_OPEN_FIXED_SIZE = 1 << 11,     /* never change the file's size after open */
    EMMAP_OPEN_EXCLUSIVE = 1 << 12,      /* refuse every other handle that may write, now and later */
    EMMAP_OPEN_NOLOCK = 1 << 13,         /* no read-write lock between threads */
    EMMAP_OPEN_NORESERVE = 1 << 14,      /* reserve neither swap nor disk space; growth makes a sparse file */
    EMMAP_OPEN_POPULATE = 1 << 15,       /* read all pages in at open (MAP_POPULATE); this can take long */
    EMMAP_OPEN_NONBLOCK = 1 << 16,       /* with populate: only pages that are in memory (MAP_NONBLOCK) */
    EMMAP_OPEN_SYNC = 1 << 17,           /* MAP_SYNC, for persistent memory; implies shared_validate */
    EMMAP_OPEN_HUGETLB = 1 << 18,        /* huge pages: with anon, or for a file on hugetlbfs */
    EMMAP_OPEN_HUGE_2MB = 1 << 19,       /* huge pages of 2 MiB; implies hugetlb */
    EMMAP_OPEN_HUGE_1GB = 1 << 20,       /* huge pages of 1 GiB; implies hugetlb */
    EMMAP_OPEN_NOCACHE = 1 << 21,        /* accepted; no effect on Linux */
    EMMAP_OPEN_UNINITIALIZED = 1 << 22,  /* accepted; no effect on kernels with memory protection */
    EMMAP_OPEN_DEBUG = 1 << 24,          /* accepted; no effect */
    /* Grow a queue or block storage that is smaller than `size`. (A plain file grows anyway.) */
    EMMAP_OPEN_FIT = 1 << 23,
    /* Never grow a file that has bytes, whatever `size` and `length` are. */
    EMMAP_OPEN_KEEP_SIZE = 1 << 25,
    /* As EMMAP_OPEN_KEEP_SIZE, and the file must have offset + size bytes, else EINVAL. With an `offset` of
     * whole pages, `length` may be the size of the whole file; then the mapping is all that lies behind the
     * offset. */
    EMMAP_OPEN_EXACT = 1 << 26,
    /* For a queue or block storage: switch to the new file when the path comes to name another file. */
    EMMAP_OPEN_FOLLOW = 1 << 28,
    /* As shared, but accept a file system that does not show the same memory to all processes that open the file. */
    EMMAP_OPEN_SHARED_UNSAFE = 1 << 30,
    /* For counters: `count` is a minimum; a file with fewer counters grows. */
    EMMAP_OPEN_GROW = 1 << 29,
} emmap_flag;

/* Set all bytes to 0, then set the fields that you need. emmap_option_set sets options by name. */
typedef struct emmap_options {
    uint32_t flags;  /* of emmap_flag */
    uint32_t mode;   /* with has_mode: permission bits of a created file, less the umask; up to 07777 */
    bool has_mode;   /* without it a created file has EMMAP_MODE, less the umask */
    bool mode_exact; /* with has_mode: ignore the umask */
    uint64_t offset; /* where position 0 is in the file on disk; any byte */
    uint64_t length; /* bytes to map; 0: up to the end of the file, and the mapping grows with it */
    uint64_t size; /* grow the file to at least offset + size bytes; in whole huge pages, if those are used */
    uint64_t
        address; /* where to map; a hint unless EMMAP_OPEN_FIXED; a multiple of the page size; 0: anywhere */
    uint64_t max_inc_size; /* the largest step of emmap_resize to 0; 0: EMMAP_MAX_INC_SIZE */
    /* With has_lock_timeout: the longest wait for locks of other handles and processes, in milliseconds (see
     * Waiting for locks). 0: try once. EMMAP_NO_LIMIT: no limit. Without has_lock_timeout:
     * EMMAP_LOCK_TIMEOUT. */
    uint64_t lock_timeout;
    bool has_lock_timeout;
} emmap_options;

#define EMMAP_LOCK_TIMEOUT 5000u
#define EMMAP_NO_LIMIT UINT64_MAX
#define EMMAP_MODE 0600
#define EMMAP_MAX_INC_SIZE (64u << 20)
#define EMMAP_PIECE (64u << 10)

/*
 * Sets one option by emmap's name for it. Without a value (NULL): "read", "populate", and so on. With *value:
 * "address", "mode" (exact), "chmod" (less the umask), "size", "max_inc_size", "offset", "length",
 * "lock_timeout". "lock" and "nolock" are the two states of EMMAP_OPEN_NOLOCK; the last one wins.
 * Errors: EMMAP_BADARG for an unknown name, for a value that is missing or not expected, for a mode above
 * 07777.
 */
emmap_error emmap_option_set(emmap_options *options, const char *name, const uint64_t *value);

/* ---- Open and close ----------------------------------------------------------------------------------- */

typedef struct emmap_file emmap_file;
typedef struct emmap_mapping emmap_mapping;

/*
 * Opens and maps `path`. On success the caller owns *file and ends it by emmap_close and emmap_free. On
 * failure *file is NULL, and a file that this call created is gone again.
 *
 * Creation is atomic: one of several openers creates the file, and `existed` tells which. Disk space is
 * reserved before the file is mapped (not with EMMAP_OPEN_NORESERVE). So a full disk is ENOSPC here, and no
 * fault later. The descriptor has O_CLOEXEC.
 *
 * A forked child loses the descriptor and the mapping. Its calls on the file return EFAULT, and slices are
 * zeros. The child may close and free the file, and open its own. This is so for fork(2) of the C library. A child made
 * past fork's handlers (the system calls fork and clone, _Fork, vfork) must not use the file at all, not even to close it:
 * its calls may hang, or change the file without the lock. It has to call exec or end.
 *
 * Errors: those of open, fstat, fallocate and mmap, and
 *   EINVAL   contradicting flags; create, truncate or exclusive without write; anon without write and a size; an empty file and
 *            no size; a size that EMMAP_OPEN_EXACT does not allow; offset and length past the end of a file that may not grow; a
 *            misaligned address
 *   EISDIR   a directory
 *   ENODEV   a FIFO, socket or device
 *   EEXIST   EMMAP_OPEN_FIXED, and the address range is in use
 *   EBUSY    another handle is exclusive, or EMMAP_OPEN_EXCLUSIVE and there is another handle that may write
 *   EFBIG    a size that no file can have
 *   ENOTSUP  EMMAP_OPEN_SYNC without persistent memory. EMMAP_OPEN_SHARED on a file system that does not show the same
 *            memory to all who open the file (FUSE, network file systems: docs/file-systems.md); with
 *            EMMAP_OPEN_SHARED_UNSAFE a plain file or counters open there, but no queue, block storage, cell or table
 */
emmap_error emmap_open(const char *path, const emmap_options *options, emmap_file **file);

/* Closes the file: drops its descriptor and its reference to the mapping. The memory is unmapped when the
 * last slice is released and the last call on the file has returned. Closing again is EMMAP_OK. Never fails;
 * never waits for a long read, a sync or another process. */
emmap_error emmap_close(emmap_file *file);

/* Frees the handle, and closes it first if it is open. No other call on it may be running or follow. Slices
 * may outlive it. NULL is ignored. */
void emmap_free(emmap_file *file);

/* What emmap_open found and made. `path` belongs to the file; it is "" with EMMAP_OPEN_ANON. */
typedef struct emmap_info {
    const char *path;
    uint32_t flags;        /* as given, with EMMAP_OPEN_READ and the kind of sharing added */
    bool existed;          /* the file existed before the open */
    uint64_t offset;       /* as given */
    uint64_t size;         /* bytes mapped now */
    uint64_t lock_timeout; /* as given, or EMMAP_LOCK_TIMEOUT */
} emmap_info;

/* Works on a closed file, too; the size is then 0. */
void emmap_describe(emmap_file *file, emmap_info *info);

/*
 * Tells whether the path that the file was opened by still names this file. False after an unlink, or when
 * another file took the name: then processes that open the path do not see what this handle does. A relative
 * path counts from the current folder at the time of the open. Memory without a file is always current.
 * Errors: those of stat.
 */
emmap_error emmap_is_current(emmap_file *file, bool *current);

/* A handle that may write a queue, block storage, cell or table, and shares it. The handle's process wrote these facts,
 * and every user who may write the file can change them. */
typedef struct emmap_writer {
    uint64_t process; /* the process id, as the process itself sees it */
    uint64_t since;   /* the time when it opened the file, in ms since 1970 */
    uint64_t waited;  /* the number of its operations that found the lock taken */
    uint64_t pushed;  /* the number of messages that it pushed */
    uint64_t popped;  /* the number of messages that it removed one by one, or by a limit */
    bool has_lock;    /* it had the file's lock during this call */
    char program[32]; /* the program's name, in printable ASCII; ends with a 0 */
} emmap_writer;

/* At most so many handles can share a file for writing. */
#define EMMAP_WRITERS 1024u

/*
 * Lists the handles that share the file through its live folder (docs/live.md): `*count` of them, and at most
 * `room`. Takes no lock and changes nothing, so it answers also while a stopped process has the lock. Handles
 * for reading only may call it. Files without a live folder have no such handles: plain files and counters,
 * exclusive queues and storages, and those whose writers use the kernel's locks.
 * Errors: those of opening the folder's `state`, EFAULT if another program has truncated it.
 */
emmap_error emmap_writers(emmap_file *file, emmap_writer *writers, size_t room, size_t *count);

/* ---- Looking at a file from outside -------------------------------------------------------------------- */

/* How much a look may cost. */
typedef enum emmap_effort {
    EMMAP_BRIEF, /* microseconds: leaves out numbers that need a read of the whole file */
    EMMAP_COUNT, /* counts messages and blocks, if no other process keeps the number */
    EMMAP_CHECK  /* also reads everything that the file's format describes, and reports the first damage */
} emmap_effort;

/* Finds an effort by its name: "brief", "count" or "check". False: there is none of this name. */
bool emmap_effort_named(const char *name, emmap_effort *effort);

typedef enum emmap_fact_type {
    EMMAP_FACT_NUMBER,
    EMMAP_FACT_FLAG, /* `number` is 0 or 1 */
    EMMAP_FACT_WORD, /* `text` is one of a few names */
    EMMAP_FACT_TEXT  /* `text` is for people; printable ASCII */
} emmap_fact_type;

typedef struct emmap_fact {
    const char *name; /* static, as "next_tail" */
    emmap_fact_type type;
    uint64_t number;
    const char *text;
} emmap_fact;

#define EMMAP_FACTS 24

typedef struct emmap_facts {
    size_t count;
    emmap_fact fact[EMMAP_FACTS];
    char program[32]; /* the text of a writer's fact */
} emmap_facts;

/* The facts about a file, in an order that is good for people. docs/command.md explains each fact. */
typedef struct emmap_inspection {
    emmap_facts file;
    size_t writers; /* the handles that share the file through its live folder */
    emmap_facts *writer;
} emmap_inspection;

/*
 * Finds out the kind of a file, its contents, the handles that have it open for writing, and the owner of its lock.
 * Takes no lock, appears in no slot of the live folder, and changes nothing. So it works also while a stopped process has
 * the lock. Two facts may be of different moments. The caller frees *result.
 * Errors: those of open and read; EISDIR; ENODEV; ENOMEM.
 */
emmap_error emmap_inspect(const char *path, emmap_effort effort, emmap_inspection **result);
void emmap_inspection_free(emmap_inspection *inspection);

/* Words that a door may read without a call. They live until emmap_free, and until the last slice is
 * released. `status` is 0 while the file is usable. Read it after a direct access: if it is still 0, the
 * bytes were the file's. A door may write `cursor` if only one of its threads uses the file. */
typedef struct emmap_control {
    uint32_t status;  /* EMMAP_STATUS_ bits */
    uint32_t aliases; /* how many other mappings of the same file this process has */
    uint64_t cursor;
} emmap_control;

#define EMMAP_STATUS_CLOSED 1u
#define EMMAP_STATUS_FAULTED 2u

emmap_control *emmap_file_control(emmap_file *file);

/*
 * Copies the file to the new name `to` while others go on using it. The copy is on the disk when the call
 * returns.
 *
 *   a queue          its messages at one moment, at the beginning of a file that is no larger than they need: first those in hand
 *                    and released ones, then the others
 *   a block storage  its blocks at one moment, with their addresses
 *   a cell           its value
 *   a table          its entries at one moment; with a handle for reading, each entry at the moment when it is copied
 *   counters         each counter at the moment when it is copied
 *   any other file   the bytes of the mapping, EMMAP_PIECE at a time, as emmap_pread reads them; a write meanwhile can
 *                    show in a later piece and not in an earlier one
 *
 * Others wait only while messages, blocks or entries are copied in memory, which needs that much memory. They never
 * wait for the disk, and never for a handle that may not write. Such a handle gets EAGAIN if others change
 * the file all the time, and it may copy a part of a list of blocks that another process stores or frees at
 * the moment. Sync a copy of a queue again if you go on to use it as a synced queue. Holes stay holes. The
 * copy has the file's permission bits. It appears as a whole or not at all, also if the process is killed.
 * Errors: EEXIST if the name exists; those of reading from the file; those of open, write, fsync and link;
 * ENOMEM.
 */
emmap_error emmap_backup(emmap_file *file, const char *to);

/* ---- Copying reads and writes ------------------------------------------------------------------------- */

/*
 * Receives the bytes of a copying read. The core first cuts the length to what the file holds. Then it calls
 * `allocate` once, with exactly this length, and fills the memory. For several messages or blocks it does so
 * for each in turn. `allocate` must not call the core, since locks may be held. If it returns NULL, the read
 * is ENOMEM and changes nothing. The caller owns all allocated memory, whatever the read returns.
 */
typedef struct emmap_sink {
    void *(*allocate)(void *context, size_t length);
    void *context;
} emmap_sink;

/* Copies up to `length` bytes at `position`, or fewer at the end of the mapping. Length 0 reads "".
 * Errors: EMMAP_EOF at or past the end; EINVAL. */
emmap_error emmap_pread(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink);

/* As emmap_pread, into the caller's own memory, which may be a slice of the same file. Fills the vectors in
 * order; *transferred tells how many bytes. Errors: as emmap_pread; ENOMEM. */
emmap_error emmap_preadv(emmap_file *file, uint64_t position, const struct iovec *vectors, size_t count,
                         uint64_t *transferred);

/*
 * Writes all of the vectors at `position`, or nothing: a write does not make the mapping longer. An empty
 * write is EMMAP_OK at any position below 2^63. Other mappings of the file may show the bytes piece by piece.
 *
 * The vectors may be slices of the same file, of any handle and any mapping, and may overlap the bytes that
 * are written. As with memmove, the call writes the bytes that the vectors had before. If one of several
 * vectors overlaps, all of them are copied to other memory first.
 * Errors: EACCES for a read-only file; EINVAL if the write would pass the end; ENOMEM.
 */
emmap_error emmap_pwrite(emmap_file *file, uint64_t position, const struct iovec *vectors, size_t count);

/* Reads up to `length` bytes at the cursor and moves the cursor behind them. Length 0 reads "".
 * Errors: EMMAP_EOF at or past the end; EINVAL. */
emmap_error emmap_read(emmap_file *file, uint64_t length, const emmap_sink *sink);

/* Reads from the cursor to the end of the line, "\n" included, or to the end of the file. A line that ends in
 * "\r\n" comes with "\n" alone, as in OTP's file:read_line/1. Errors: EMMAP_EOF. */
emmap_error emmap_read_line(emmap_file *file, const emmap_sink *sink);

/* Writes all of the vectors at the cursor and moves the cursor behind them. Errors: as emmap_pwrite. */
emmap_error emmap_write(emmap_file *file, const struct iovec *vectors, size_t count);

typedef enum emmap_whence { EMMAP_FROM_START, EMMAP_FROM_CURSOR, EMMAP_FROM_END } emmap_whence;

/* Moves the cursor. It may be past the end, where a read is EMMAP_EOF.
 * Errors: EINVAL if it would be below 0 or above 2^63 - 1; the cursor then stays. */
emmap_error emmap_position(emmap_file *file, int64_t offset, emmap_whence whence, uint64_t *position);

/* ---- Direct reads ------------------------------------------------------------------------------------- */

/* Bytes of a mapping, with a reference to it. They change when any process writes the file. If their pages go
 * away (see EFAULT), they become zeros and emmap_slice_faulted returns true. With EMMAP_OPEN_WRITE the caller
 * may write to them. A slice outlives emmap_close and emmap_free; emmap_slice_release ends it. */
typedef struct emmap_slice {
    uint8_t *data;
    uint64_t length;
    emmap_mapping *mapping;
    struct emmap_loan *loan; /* the core's own */
} emmap_slice;

/* As emmap_pread, emmap_read and emmap_read_line, without copying. On failure, and for no bytes, the slice is
 * all 0. A line that ends in "\r\n" goes to `copy`, since its bytes are not in the mapping; the slice is then
 * all 0. */
emmap_error emmap_pread_direct(emmap_file *file, uint64_t position, uint64_t length, emmap_slice *slice);
emmap_error emmap_read_direct(emmap_file *file, uint64_t length, emmap_slice *slice);
emmap_error emmap_read_line_direct(emmap_file *file, emmap_slice *slice, const emmap_sink *copy);

/* True if a page of any mapping of the slice's file has gone away. */
bool emmap_slice_faulted(const emmap_slice *slice);

/*
 * Makes the pages of a slice writable, for a runtime that has no read-only memory: a store then copies its page for this process
 * alone and never reaches the file. Does nothing for a file that is open for writing. Errors: EACCES for a read-only file that is
 * mapped shared; those of mprotect.
 */
emmap_error emmap_slice_copy_on_write(const emmap_slice *slice);

/* Ends the slice and sets it to zeros. Unmaps the memory if this was the last reference. A slice of zeros is ignored. */
void emmap_slice_release(emmap_slice *slice);

/*
 * Pins protect memory of a door that many threads use without reference counts and that one thread takes away.
 * The functions are inline, since a call would cost as much as the pin itself.
 *
 * A thread asks once for its pin, by emmap_pin_self (NULL: no memory). To use the memory it calls
 * emmap_pin_hold, which returns the content of *place. Until it calls emmap_pin_release it may use the memory,
 * but must not wait and must not call the core.
 *
 * The thread that takes the memory away first replaces *place by an atomic store, then calls emmap_pin_drain.
 * This returns when no thread uses the memory any more.
 */
typedef struct emmap_pin {
    const void *held;
    bool fenced; /* the thread makes the fence itself, since emmap_pin_drain can't (membarrier(2)) */
} emmap_pin;

emmap_pin *emmap_pin_self(void);
void emmap_pin_drain(const void *memory);

static inline void *emmap_pin_hold(emmap_pin *pin, void *const *place)
{
    void *memory = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    for (;;) {
        __atomic_store_n(&pin->held, memory, __ATOMIC_RELAXED);
        /* Pairs with the fence of emmap_pin_drain. */
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
    /* Release: uses of the memory under the pin come before anything that the draining thread does next. */
    __atomic_store_n(&pin->held, (const void *)0, __ATOMIC_RELEASE);
}

/* ---- Size --------------------------------------------------------------------------------------------- */

/* The number of bytes that are mapped now. */
emmap_error emmap_size(emmap_file *file, uint64_t *size);

/*
 * Changes the size to `size` bytes. Size 0 grows by one step: it doubles the size, or adds max_inc_size if
 * that is less. *result, unless NULL, is the new size.
 *
 * Growing looks at the file on disk first. If another process has made it longer, the mapping covers all of
 * it (with options.length: `size` bytes). Shrinking truncates the file, unless options.length leaves a part
 * of the file behind the mapping. Slices keep the old mapping. A private mapping keeps the bytes that were
 * written to it.
 *
 * Other calls on the file go on while a shared mapping grows. They wait while it shrinks, for as long as
 * ftruncate takes, and while a private mapping is replaced, for as long as reading all of it takes.
 *
 * Errors: EINVAL from 2^63 up, on any file; EACCES for a read-only file; EMMAP_FIXED_SIZE; ENOTSUP with
 * EMMAP_OPEN_FIXED; EINVAL for a queue or block storage that would shrink; EFBIG, ENOSPC and ENOMEM, with the
 * file unchanged; EBUSY if a slice, or a read or write that is running, reaches beyond the new size.
 */
emmap_error emmap_resize(emmap_file *file, uint64_t size, uint64_t *result);

/* Extends the mapping over bytes that others have added at the end of the file. EMMAP_OK if there are none,
 * and if the size of the mapping is fixed (options.length, EMMAP_OPEN_FIXED). Errors: those of fstat and
 * mmap. */
emmap_error emmap_follow(emmap_file *file, uint64_t *size);

/* Cuts the file off at the cursor, like emmap_resize to that size. Errors: as emmap_resize; EINVAL with the
 * cursor at 0, since a mapping can't be empty, or past the end. */
emmap_error emmap_truncate(emmap_file *file);

/* Reserves disk space for a range of the mapping. Errors: EACCES; EINVAL past the end or for length 0;
 * ENOSPC. */
emmap_error emmap_allocate(emmap_file *file, uint64_t position, uint64_t length);

/* ---- Durability --------------------------------------------------------------------------------------- */

/* Starts to write changed pages to the disk, and does not wait for it (sync_file_range on Linux). */
emmap_error emmap_flush(emmap_file *file);

/*
 * Returns when these are on the disk: the bytes, the size and, if this handle created the file, its directory
 * entry. This can take seconds. On a queue or block storage it first waits for the running operation.
 *
 * Synced messages and blocks survive a power cut, until they are popped or freed. For that, from the first
 * sync on, a push that moves messages and a store that uses new room sometimes wait for the disk. This needs
 * a handle that may write and was opened as a queue or block storage; docs/durability.md says what a sync of other
 * handles does.
 *
 * Errors:
 *   ESTALE      the path names another file now, or none (not for a private mapping): the bytes are on the disk, but in a
 *               file that an open of the path does not find
 *   EIO, ...    those of msync and fsync. The kernel reports a failure once, and the bytes may be lost. So every later sync of
 *               this handle fails in the same way. Open the file again to see what the disk has.
 */
emmap_error emmap_sync(emmap_file *file);

/* As emmap_sync, without metadata that is not needed to read the bytes (fdatasync). */
emmap_error emmap_datasync(emmap_file *file);

typedef enum emmap_advice {
    EMMAP_ADVICE_NORMAL,
    EMMAP_ADVICE_SEQUENTIAL,
    EMMAP_ADVICE_RANDOM,
    EMMAP_ADVICE_NO_REUSE,
    EMMAP_ADVICE_WILL_NEED,
    EMMAP_ADVICE_DONT_NEED /* loses no bytes: ignored for private mappings */
} emmap_advice;

/* Tells the kernel how a range will be used. Length 0: up to the end. A range past the end is cut.
 * Errors: EINVAL for positions and lengths from 2^63 up, and for an unknown advice. */
emmap_error emmap_advise(emmap_file *file, uint64_t position, uint64_t length, emmap_advice advice);

/* ---- Atomic 64-bit operations ------------------------------------------------------------------------- */

/*
 * Atomic operations on the signed native-endian word at `position`: lock-free, and sequentially consistent
 * between all threads and processes that map the file shared. Arithmetic wraps around. *old, unless NULL, is
 * the value before.
 * Errors: EACCES for a read-only file (not for load); EINVAL if the mapping does not hold the whole word;
 * EMMAP_ALIGNMENT if its address (offset + position) is not a multiple of 8.
 */
emmap_error emmap_patomic_add(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_sub(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_and(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_or(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_xor(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
emmap_error emmap_patomic_exchange(emmap_file *file, uint64_t position, int64_t value, int64_t *old);
/* Stores `replacement` if the word holds `expected`. *old == expected if and only if it did. Never fails
 * spuriously. */
emmap_error emmap_patomic_compare_exchange(emmap_file *file, uint64_t position, int64_t expected,
                                           int64_t replacement, int64_t *old);
emmap_error emmap_patomic_load(emmap_file *file, uint64_t position, int64_t *value);
emmap_error emmap_patomic_store(emmap_file *file, uint64_t position, int64_t value);

/* ---- Counters ----------------------------------------------------------------------------------------- */

/*
 * Opens a counters file with `count` counters, or creates one with all counters 0. Count 0 takes the number
 * that the file has, and creates a file with 1.
 *
 * EMMAP_OPEN_GROW (needs EMMAP_OPEN_WRITE) makes `count` a minimum: a file with fewer counters gets more,
 * which begin at 0. Handles that are open keep the number that they had. If the process dies meanwhile, the
 * file has the old number or the new one.
 *
 * The mapping is always shared. `options` may be NULL. Without EMMAP_OPEN_READ and EMMAP_OPEN_WRITE the file is
 * opened for writing and created if it is missing. All other functions work on the file, but its size is fixed
 * (EMMAP_FIXED_SIZE). If a creator died, the next opener finishes the file.
 * Errors: as emmap_open, and
 *   EINVAL         more than 2^32 counters; a counters file with another count: emmap_last_failure has both numbers; options
 *                  that counters can't have: anon, private, truncate, follow, offset, length, size
 *   EMMAP_CORRUPT  the file is no counters file; it is unchanged
 */
emmap_error emmap_counters_open(const char *path, uint64_t count, const emmap_options *options,
                                emmap_file **file);

/* The number of counters. 0 if emmap_counters_open did not open the file. Works on a closed file, too. */
uint64_t emmap_counters_length(emmap_file *file);

/* On counter `index`, from 0: as the emmap_patomic functions on its word. Errors: EACCES; EINVAL for an index
 * past the last counter, and for a file that is no counters file. */
emmap_error emmap_counter_add(emmap_file *file, uint64_t index, int64_t value, int64_t *old);
emmap_error emmap_counter_sub(emmap_file *file, uint64_t index, int64_t value, int64_t *old);
emmap_error emmap_counter_set(emmap_file *file, uint64_t index, int64_t value, int64_t *old);
emmap_error emmap_counter_get(emmap_file *file, uint64_t index, int64_t *value);
emmap_error emmap_counter_compare_exchange(emmap_file *file, uint64_t index, int64_t expected,
                                           int64_t replacement, int64_t *old);

/* ---- Waiting for words -------------------------------------------------------------------------------- */

/*
 * A wait for a word ends when the word holds another value than the expected one, or when any thread calls
 * emmap_notify on the word, through any handle in any process. Use it like this:
 *
 *   to wait     load the word, decide by its value to wait, wait with this value as the expected one, and load again
 *   to wake     store the new value, then notify
 *
 *   Changed and notified    If the word holds another value when emmap_notify is called, the wait ends at once. No order of the
 *                           two calls loses this. All 64 bits are compared.
 *   Notified, unchanged     The notify wakes waits that are asleep: every wait of its own process; a wait of another process
 *                           from about 50 µs after emmap_wait_begin on, unless that process is stopped.
 *   Changed, not notified   The wait ends within 100 ms. This happens if a process is killed between its store and its notify.
 *
 * The longest wait is woken first; waits that begin in the same moment are woken in any order. Waits work for
 * read-only files and between PID namespaces. On other systems than Linux threads can't sleep on shared
 * memory. There a change is seen within 100 ms, and a notify without a change reaches only waits of its own
 * process.
 */

/* At most so many waits of a process can have threads at a time. Every wait has a thread, except those that a door watches
 * (emmap_waiter.watches). */
#define EMMAP_WAIT_LIMIT 1024u

typedef struct emmap_wait emmap_wait;

/*
 * Tells a door that a wait has ended. The core calls `done` once, from any thread, without holding a lock.
 * That may be a thread inside emmap_notify, emmap_close or emmap_wait_begin. `done` must return soon.
 * `result` is EMMAP_OK, or
 *   ETIMEDOUT     the time is over
 *   EMMAP_CLOSED  the file was closed
 *   EFAULT        the file was truncated
 *   EINVAL        emmap_resize made the file shorter, and the word is gone
 */
typedef struct emmap_waiter {
    void (*done)(void *context, emmap_error result);
    void *context;
    bool watches; /* the door watches emmap_queue_wait_descriptor; without effect on waits for words */
} emmap_waiter;

/*
 * Begins to wait for the word at `position`, for up to `timeout` milliseconds (EMMAP_NO_LIMIT: no limit).
 * Does not block. On EMMAP_OK the core calls the waiter once, perhaps before this function returns, unless
 * emmap_wait_cancel prevents it. The caller owns *wait and ends it by emmap_wait_free. On failure *wait is
 * NULL and the waiter is not called. A wait does not keep the file open.
 * Errors: EAGAIN if the word holds another value now; ETIMEDOUT for timeout 0 if it does not; EINVAL and
 * EMMAP_ALIGNMENT as emmap_patomic_load; EINVAL for a private mapping that may be written; ENOMEM without
 * memory or a thread, and past EMMAP_WAIT_LIMIT.
 */
emmap_error emmap_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                             const emmap_waiter *waiter, emmap_wait **wait);

/* Ends the wait. True: the waiter was not called and will not be. False: it was called, or is being called. A
 * notify that comes at the same time goes to the next wait. */
bool emmap_wait_cancel(emmap_wait *wait);

/* As emmap_wait_cancel, for a wait that was woken: the descriptor that the door watches has become readable. */
bool emmap_wait_woken(emmap_wait *wait);

/* Frees the wait, and cancels it first if it goes on. NULL is ignored. */
void emmap_wait_free(emmap_wait *wait);

/*
 * Wakes up to `count` waits for the word; EMMAP_NO_LIMIT: all. *woken, unless NULL, is the number, over all
 * processes. It can be too high by one for each thread that was about to sleep when another notify ended its
 * wait. Works on a read-only file, too.
 * Errors: EINVAL, EMMAP_ALIGNMENT as emmap_patomic_load.
 */
emmap_error emmap_notify(emmap_file *file, uint64_t position, uint64_t count, uint64_t *woken);

/* The same for counter `index`. Errors: also EINVAL for an index past the last counter. */
emmap_error emmap_counter_wait_begin(emmap_file *file, uint64_t index, int64_t expected, uint64_t timeout,
                                     const emmap_waiter *waiter, emmap_wait **wait);
emmap_error emmap_counter_notify(emmap_file *file, uint64_t index, uint64_t count, uint64_t *woken);

/* ---- Waiting for locks -------------------------------------------------------------------------------- */

/*
 * An operation waits for locks of other handles and processes for up to the file's lock_timeout. Then it
 * returns ETIMEDOUT, has done nothing, and may be tried again. The owner of the lock is alive: stopped, or
 * busy for that long. For a lock in a live folder, the failure's reason names the owner, and emmap_writers lists it. The
 * time-out also limits opening a file of any kind but a plain one, and changing a file's size.
 */

/* Sets the longest wait for locks of every operation in this process, in milliseconds. EMMAP_NO_LIMIT, the
 * default: only the files' own time-outs count. A door sets a short limit if it has a better way to wait: it
 * waits by itself and tries again. */
void emmap_lock_limit(uint64_t milliseconds);

/*
 * Sets whether operations of this thread on queues, block storages, cells and tables may block: on a lock, on growth of
 * the file, on a large copy, on the disk. Default true. With false, an operation that would block changes nothing
 * and returns EAGAIN, or ETIMEDOUT if another handle has the lock. The caller repeats it on a thread that may
 * block.
 */
void emmap_set_may_block(bool yes);

/* ---- Queues ------------------------------------------------------------------------------------------- */

/*
 * A persistent first-in first-out queue of messages of one byte or more, shared by threads, handles and
 * processes. The file has at most 4 GiB - 1. A message takes up to 15 bytes besides its own.
 *
 *   Exclusion   Every operation holds the file's lock while it reads or changes the queue. The lock is a word in memory that all
 *               writers share, in a folder beside the file (docs/live.md), or a lock of the kernel. An operation waits for it for
 *               up to lock_timeout (ETIMEDOUT). A stopped process keeps its lock. A dead process holds no lock. It is dead
 *               when the kernel has freed its memory and, if enabled, written its core dump. (A child made past fork's handlers
 *               must not use the file: see emmap_open. It shares its parent's lock: if the parent dies in an operation, the lock
 *               stays until the child ends or calls exec.) Messages of each producer keep their order. No message goes to two
 *               readers.
 *   Exclusive   A handle with EMMAP_OPEN_EXCLUSIVE keeps the lock until it is closed. Its operations make no system call.
 *   Read-only   Without EMMAP_OPEN_WRITE the reading functions work, and take no lock. EAGAIN: others change the queue all the
 *               time, or a process died while it moved messages and no other has written since.
 *   Death       A process that is killed at any instruction leaves the queue as before the operation or as after it. The next
 *               operation of any process completes the unfinished change.
 *   Space       A large queue gives disk space back when it becomes empty or its messages are moved (emmap_queue_compact). The
 *               file never gets shorter, since others have it mapped.
 *   Path        An operation that finds nothing (an empty queue, a missing block) checks the path, at most once a second. If the
 *               path names another file now, or none, the operation returns ESTALE: processes that open the path use another
 *               file. emmap_sync returns it, too. With EMMAP_OPEN_FOLLOW the handle switches to the new file if it can be opened
 *               like the old one, and the operation runs again there. While there is no new file it waits for one. A new file that
 *               cannot be opened is ESTALE, too. Unread messages stay in the old file.
 *   Payloads    The file does not record a payload's exact length: up to 7 zeros follow it when it is read (emmap's terms ignore
 *               them). A payload whose length is a multiple of 8 comes back exactly.
 *
 * Every function can also return EINVAL for a file that is no queue, EACCES for a read-only file that would
 * change, EMMAP_CORRUPT with offset and reason, ETIMEDOUT, and errors of fcntl (ENOLCK, ...).
 */

/*
 * Opens a queue, or creates one of options->size bytes (0: 4096). An existing queue opens whatever its size
 * is. `options` may be NULL. Without EMMAP_OPEN_READ and EMMAP_OPEN_WRITE the file is opened for writing and
 * created if it is missing. The file grows with its messages, by the steps of max_inc_size, unless
 * EMMAP_OPEN_FIXED_SIZE is given. All other functions work on the file.
 * Errors: as emmap_open, and
 *   EINVAL         options that a queue can't have: private, truncate, offset, length; a size below 16
 *   EFBIG          a size above 2^32 - 1
 *   EMMAP_CORRUPT  the file is no queue, or a damaged one; it is unchanged
 *   EBUSY          other writers use the live folder beside the file (docs/live.md), and this handle can't; see the reason
 *   ENOSPC         1024 handles that may write have the file open
 */
emmap_error emmap_queue_open(const char *path, const emmap_options *options, emmap_file **file);

/*
 * Makes an open file a queue: the one that it holds, or an empty one if the file is all zeros. A second call
 * is EMMAP_OK.
 * Errors: EINVAL for a private mapping of a file, for an offset that is not a multiple of 16, for a block
 * storage; EMMAP_CORRUPT. On failure the file is unchanged.
 */
emmap_error emmap_queue_attach(emmap_file *file);

/*
 * Appends one message, gathered from the vectors. After EMMAP_OK the message is in the queue once; after an
 * error it is not, and the other messages are unchanged. If the end is reached, the messages move to the
 * beginning or the file grows.
 * Errors: EINVAL for an empty message; EMMAP_FULL at 4 GiB - 1 or at a fixed size, also if synced messages
 * would move to where they overlap; EFBIG for a message that no queue can hold; ENOSPC and the like as
 * emmap_resize; as emmap_datasync in a synced queue.
 */
emmap_error emmap_queue_push(emmap_file *file, const struct iovec *vectors, size_t count);

/* Appends `count` messages, one a vector. Others see all of them at once. On failure none is appended.
 * Errors: as emmap_queue_push. */
emmap_error emmap_queue_push_many(emmap_file *file, const struct iovec *messages, size_t count);

/* The bytes of an origin's name. Choose them at random. */
#define EMMAP_ORIGIN_SIZE 16

/*
 * Appends messages as emmap_queue_push_many, once: if `number` is not above the last number of the origin, nothing is appended, and
 * that is no error. Otherwise it becomes the last one, in the same step. So a push whose answer was lost is tried again with its
 * number. *last is the origin's last number before the call; 0: the origin is not known. `number` 0 only asks for it.
 *
 * The numbers are in `PATH-relayed` beside the queue, which the first call makes. It keeps 2046 origins, and forgets the one
 * that has pushed nothing for the longest time. A process that is killed at any instruction leaves messages and number, or
 * neither. So does a power cut in a queue that was synced before: then the call returns when both are on the disk.
 * Errors: as emmap_queue_push; those of making the file; EMMAP_CORRUPT if another file has its name; ESTALE if the path leads to
 * another file; ENOTSUP for anonymous memory. After EIO of a synced queue the messages may be there.
 */
emmap_error emmap_queue_push_once(emmap_file *file, const uint8_t origin[EMMAP_ORIGIN_SIZE], uint64_t number,
                                  const struct iovec *messages, size_t count, uint64_t *last);

/* Removes the first message and copies it out. On failure the message stays. Errors: EMMAP_EOF if the queue
 * is empty; ENOMEM if the sink has no memory; EBUSY while another caller is between emmap_queue_pop_begin and
 * its end. */
emmap_error emmap_queue_pop(emmap_file *file, const emmap_sink *sink);

/* Removes up to `limit` messages, in order, and calls the sink once for each. *count is their number. On
 * failure all messages stay, whatever the sink has received. Errors: as emmap_queue_pop; EINVAL for a limit
 * from 2^63 up. */
emmap_error emmap_queue_pop_many(emmap_file *file, uint64_t limit, const emmap_sink *sink, uint64_t *count);

/*
 * Begins to pop in two steps: copies the first message out and reserves it. Until emmap_queue_pop_commit or
 * emmap_queue_pop_abort, every other pop, purge and erase is EBUSY, in this and all other processes. Pushing
 * and reading go on. A queue of fixed size can become full meanwhile, since messages do not move. There is
 * one such message at a time; any thread may end it. If the file is closed or the process dies before the
 * commit, the message stays the first one. Errors: as emmap_queue_pop.
 */
emmap_error emmap_queue_pop_begin(emmap_file *file, const emmap_sink *sink, uint64_t *ticket);

/* Removes the message. On failure it stays and can be popped again; after ETIMEDOUT the ticket is still
 * valid. Errors: EINVAL for a used ticket; ESTALE if a writer that takes no locks (emmap 2.x) has removed the
 * message. */
emmap_error emmap_queue_pop_commit(emmap_file *file, uint64_t ticket);

/* Leaves the message in the queue. Errors: EINVAL for a used ticket. */
emmap_error emmap_queue_pop_abort(emmap_file *file, uint64_t ticket);

/*
 * Begins to wait for a message, for up to `timeout` milliseconds (EMMAP_NO_LIMIT: no limit). Does not block,
 * and takes no message: when there may be a message, the core calls the waiter with EMMAP_OK. The caller then
 * pops, and waits again if it finds none. One message wakes one wait, in any process. Results, limits,
 * cancelling and freeing are as with emmap_wait_begin.
 *
 * If a waiter is killed after it was woken, or a producer before it wakes a waiter, the others find the
 * message within 100 ms. If the handles of a queue share only the file (docs/live.md), they find each other's
 * messages within 100 ms.
 * Errors: EAGAIN if there is a message now; ETIMEDOUT for timeout 0 if there is none; EACCES for a read-only
 * handle, which can't pop; ENOMEM as emmap_wait_begin.
 */
emmap_error emmap_queue_wait_begin(emmap_file *file, uint64_t timeout, const emmap_waiter *waiter,
                                   emmap_wait **wait);

/*
 * A descriptor by which a wait of this handle can be woken faster than by a thread: the door's event loop watches
 * the descriptor itself. It becomes readable when the handle's wait with emmap_waiter.watches is woken. The door then
 * empties it, calls emmap_wait_woken, and goes on as if its waiter had been called with EMMAP_OK. The waiter reports every
 * other end of the wait. A handle should have one such wait at a time; its other waits have threads. The descriptor may
 * become readable without a reason.
 *
 * The handle owns the descriptor and closes it. It is a FIFO in the live folder, with both ends open.
 * Errors: ENOTSUP if the handle has no live folder; those of mkfifo and open; EACCES as emmap_queue_wait_begin.
 */
emmap_error emmap_queue_wait_descriptor(emmap_file *file, int *descriptor);

/*
 * Deliveries. A message that was taken is in hand until it is acknowledged, released or put back. It belongs to the handle that took
 * it; any thread of the handle may end it. If the handle is closed or its process dies, the message is released. Messages in hand lie
 * in a file of their own, `PATH-taken` beside the queue (docs/formats.md). It survives the end of all processes. So a message that
 * was pushed is delivered until it is acknowledged, and never again afterwards.
 *
 *   Released  A released message comes before those in the queue's file, for every take and pop; among several the one that is
 *             due first, and of those that are due at once the one that was pushed first. emmap_queue_length and
 *             emmap_queue_is_empty count it if it is due, emmap_queue_peek_front shows it, also with a handle for reading. Walks do not.
 *             A taker notices the death of another within 100 ms.
 *   Purge     emmap_queue_purge removes released messages, and not those in hand.
 *   Power     A take from a synced queue waits for the disk, so that a power cut loses no message. A message that was acknowledged
 *             before emmap_sync does not come back.
 *   emmap 2.x does not know the file: emmap_queue_release_all puts all messages back into the queue's own.
 *
 *   Another queue  When a queue is made, a file with messages in hand that lies beside it belongs to a removed queue of that name. If
 *             nobody uses it, it becomes `PATH-taken.former`.
 *
 * Every function can also return EMMAP_CORRUPT for a damaged file of messages in hand, also if its pages have gone away
 * (emmap_queue_repair). Push, pop, peek and length go on without it. EBUSY: other handles use another file of that name. EAGAIN as
 * emmap_set_may_block.
 */

typedef struct emmap_delivery {
    uint64_t ticket;  /* below 2^53 */
    uint32_t attempt; /* how often the message was taken, this take included: 1, 2, ... */
} emmap_delivery;

/*
 * Takes the first message that is due, and copies it out. `holder` is a number of the caller's choice,
 * from 0 to 2^63 - 1, for emmap_queue_release_held. On failure the message stays. Wait for a message by emmap_queue_wait_begin.
 * Errors: EMMAP_EOF if there is none; ENOMEM if the sink has no memory; EBUSY as emmap_queue_pop; EMMAP_FULL
 * and ENOSPC if there is no room for messages in hand, or for a 1025th handle that takes; EACCES if
 * `PATH-taken` can't be made; ESTALE if the path leads to another file; ENOTSUP on systems whose locks
 * belong to processes.
 */
emmap_error emmap_queue_take(emmap_file *file, uint64_t holder, const emmap_sink *sink,
                             emmap_delivery *delivery);

/* Ends a delivery: the message is gone for good. Errors: EINVAL if this handle has no message in hand under the ticket. */
emmap_error emmap_queue_ack(emmap_file *file, uint64_t ticket);

/* The longest delay of a released message: 10^15 ms, some 31,700 years. A date of JavaScript still holds the time when it is over. */
#define EMMAP_DELAY_MAX UINT64_C(1000000000000000)

/* Ends a delivery: the message is delivered again, not before `delay` milliseconds have passed by the system's clock (0: at once).
 * Errors: as emmap_queue_ack; EINVAL for a delay above EMMAP_DELAY_MAX. */
emmap_error emmap_queue_release(emmap_file *file, uint64_t ticket, uint64_t delay);

/* *order: the number that the message got when it was taken first, and keeps until its last delivery ends. Messages that are taken
 * later have higher ones, also after `PATH-taken` was removed. Takes no lock. Errors: as emmap_queue_ack. */
emmap_error emmap_queue_order(emmap_file *file, uint64_t ticket, int64_t *order);

/* Undoes a take: the message is the first one again, and the attempt does not count. Errors: as emmap_queue_ack. */
emmap_error emmap_queue_put_back(emmap_file *file, uint64_t ticket);

/* Releases all messages that this handle took with this `holder`. Errors: EINVAL for a number that no holder has. */
emmap_error emmap_queue_release_held(emmap_file *file, uint64_t holder);

/* Puts all messages that this handle has in hand and all released ones back into the queue's own file, before its messages, in the
 * order in which they were taken. *count is their number. Attempts and delays are forgotten.
 * Errors: EBUSY if a living handle has others in hand; EMMAP_FULL; as a push that makes the file grow. */
emmap_error emmap_queue_release_all(emmap_file *file, uint64_t *count);

/*
 * Repairs a damaged `PATH-taken` while others may use the queue. It keeps each message whose cells are sound: there are as many as its
 * length says, no other message has one of them, and in a synced queue their digest fits. In other queues nothing tells wrong bytes
 * within a message. Messages in hand stay in hand; those of an owner that cannot be are released. *lost is the number of messages
 * that it found damaged; where the file was cut, they are those that its header counts. Keep a copy of the file before.
 * Errors: EMMAP_CORRUPT, with the file as it was, if it has neither a header nor a message, and for a damaged queue, for which there is
 * emmap_queue_erase; as emmap_queue_take. Without that file there is nothing to do.
 */
emmap_error emmap_queue_repair(emmap_file *file, uint64_t *lost);

/* A message in hand, or a released one. The owner itself wrote the facts about the owner. */
typedef struct emmap_in_hand {
    uint64_t ticket;
    uint64_t length;  /* bytes, with up to 7 zeros */
    uint64_t since;   /* when it was taken, in ms since 1970 */
    uint64_t due;     /* of a released message: not before, in ms since 1970; 0: at once */
    uint64_t process; /* of one in hand: the owner's process id, as the process itself sees it */
    uint32_t attempt;
    bool released;
    bool alive;       /* of one in hand: the owner lives */
    char program[32]; /* the owner's program, in printable ASCII; ends with a 0 */
} emmap_in_hand;

/* Lists messages in hand and released ones, up to `room` of them. *count is the number of all. Takes no lock and changes nothing; a
 * handle for reading may call it. Errors: EMMAP_CORRUPT, also for a message whose length is impossible or whose cells are not there; those of opening `PATH-taken`. */
emmap_error emmap_queue_in_hand(emmap_file *file, emmap_in_hand *entries, size_t room, size_t *count);

/* Copies the first or the last message out; it stays. Errors: EMMAP_EOF if the queue is empty. */
emmap_error emmap_queue_peek_front(emmap_file *file, const emmap_sink *sink);
emmap_error emmap_queue_peek_back(emmap_file *file, const emmap_sink *sink);

/* A caller that removes only messages that it can use goes in steps: it copies the first message out by
 * emmap_queue_glance_front, tries to use it, and calls emmap_queue_remove. Others are not excluded in between.
 * If the message is no longer the first one, emmap_queue_remove is ESTALE, and the caller begins again. */

/* Copies the first message out; it stays. Takes no lock if the unlocked read is conclusive. Other processes
 * may change the bytes during the copy: only emmap_queue_remove tells whether it is a message.
 * Errors: EMMAP_EOF if the queue is empty; ENOMEM if the sink has no memory; EACCES for a read-only file. */
emmap_error emmap_queue_glance_front(emmap_file *file, const emmap_sink *sink);

/* Removes the first `count` messages in one step if they equal the given ones byte for byte, one a vector. On
 * failure all messages stay.
 * Errors: ESTALE if they differ or there are fewer; EBUSY as emmap_queue_pop. */
emmap_error emmap_queue_remove(emmap_file *file, const struct iovec *messages, size_t count);

/*
 * As emmap_queue_remove for one message. Then copies the message that is the first one now into the sink, as
 * emmap_queue_glance_front does. So a loop that removes messages one by one makes one call for each. The sink is not
 * called if the queue is empty or the message is damaged; a sink without memory is no error here. The sink's
 * memory may be `message`.
 */
emmap_error emmap_queue_shift(emmap_file *file, const struct iovec *message, const emmap_sink *next);

/* No place of any walk. A door passes it for a place that 64 bits can't hold. */
#define EMMAP_NO_PLACE (UINT64_MAX - 1)

/* A door passes no higher limit to a walk, since it allocates memory for that many addresses in advance. */
#define EMMAP_WALK_LIMIT 65536u

typedef enum emmap_queue_direction {
    EMMAP_QUEUE_FORWARD, /* from the first message to the last */
    EMMAP_QUEUE_BACKWARD
} emmap_queue_direction;

/*
 * Copies up to `limit` messages out, from *place on, and calls the sink once for each. *count is their
 * number. With a NULL sink they are only counted. One call sees the queue at one moment; a limit of INT64_MAX
 * copies the whole queue.
 *
 * *place is 0 at first. Each call sets it to where the next one goes on: a number from 1 to 2^63 - 1 that
 * only this function understands. Messages that were popped in between are skipped, and no others: a place
 * belongs to an era of the queue (docs/formats.md).
 * Errors: EMMAP_EOF if there are no more; EINVAL for a limit from 2^63 up; ESTALE for a number that is no
 * place of this walk (EMMAP_NO_PLACE is none), and for a place that is lost, or may be, since the queue was
 * emptied or its messages moved; ENOMEM.
 */
emmap_error emmap_queue_walk(emmap_file *file, emmap_queue_direction direction, uint64_t limit,
                             uint64_t *place, const emmap_sink *sink, uint64_t *count);

/* The number of messages. Takes constant time while all writers share the live folder (docs/live.md), and
 * time in proportion to the number otherwise, as for a read-only and an exclusive handle: the file has no count. */
emmap_error emmap_queue_length(emmap_file *file, uint64_t *length);

emmap_error emmap_queue_is_empty(emmap_file *file, bool *empty);

/* The header of the queue; offsets in bytes from the queue's beginning. */
typedef struct emmap_queue_metadata {
    uint64_t size;
    uint64_t head;      /* the first message */
    uint64_t tail;      /* behind the last message */
    uint64_t next_tail; /* as tail; differs on a read-only handle after a writer died */
} emmap_queue_metadata;

emmap_error emmap_queue_info(emmap_file *file, emmap_queue_metadata *info);

/* Resets an empty queue to begin at the start of its file, as emmap 2.x's purge does. (A push does that by
 * itself.) *empty tells whether there was no message. A synced queue is not reset, only *empty is set.
 * Errors: EACCES. */
emmap_error emmap_queue_reset(emmap_file *file, bool *empty);

/* Removes all messages. The file keeps its size. Errors: EBUSY as emmap_queue_pop. */
emmap_error emmap_queue_purge(emmap_file *file);

/* As emmap_queue_purge, and also repairs a damaged queue by making it empty. */
emmap_error emmap_queue_erase(emmap_file *file);

/*
 * Gives unused disk space back to the file system: moves the messages to the beginning if possible, and makes
 * the pages behind them holes. *bytes is the space given back. The file keeps its size; the size in
 * emmap_queue_info gets smaller. Later pushes reserve space again, so a push on a full disk fails as if the
 * file had to grow.
 *
 * Operations do this by themselves when a queue becomes empty or its messages move, if 4 MiB and three
 * quarters of the queue are free and the size is not fixed.
 * Errors: ENOTSUP if the file system has no holes; those of a push to a synced queue.
 */
emmap_error emmap_queue_compact(emmap_file *file, uint64_t *bytes);

/* ---- Block storage ------------------------------------------------------------------------------------ */

/*
 * A persistent storage of blocks of one size. Storing a block gives its address, by which it is read and
 * freed. Addresses are below the capacity, 64 to the power of `levels`. The address of a freed block is used
 * again. A storage can be as large as a file. Store, read and free take the same time however full it is.
 *
 * Exclusion, EMMAP_OPEN_EXCLUSIVE, read-only files, and the errors of every function are as with queues, but
 * reading a block makes no system call and rarely waits for other processes.
 *
 *   Space       The space of many freed blocks goes back to the disk (emmap_blocks_compact).
 *   Death       A process that is killed during a store or free leaves the block stored or not. The next operation of a handle that
 *               may write repairs the rest. No address is given out twice, and none is lost.
 */

#define EMMAP_LEVELS 3u /* as emmap 2.x has them */
#define EMMAP_LEVELS_MIN 2u
#define EMMAP_LEVELS_MAX 5u

/*
 * Opens a block storage, or creates one for blocks of `block_size` bytes in a file of options->size bytes (0:
 * 4096). The file grows with its blocks, by the steps of max_inc_size, unless EMMAP_OPEN_FIXED_SIZE is given.
 * block_size is from 1 to 2^32 - 1; 0: the file's. `levels` is from EMMAP_LEVELS_MIN to EMMAP_LEVELS_MAX; 0:
 * the file's, or EMMAP_LEVELS for a new one. emmap 2.x does not record the number; for its files it is
 * deduced from the tree. `options` are as with emmap_queue_open.
 * Errors: as emmap_open, and
 *   EINVAL         block size or levels out of range, or different from the storage's; levels that can't be deduced; options
 *                  that a storage can't have: private, truncate, offset, length; a size below 16
 *   EMMAP_CORRUPT  the file is no storage, or a damaged one; it is unchanged
 */
emmap_error emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                              const emmap_options *options, emmap_file **file);

/*
 * Makes an open file a block storage: the one that it holds, or an empty one if the file is all zeros. A
 * second call is EMMAP_OK.
 * Errors: EINVAL for another block size or number of levels, for a queue; EMMAP_CORRUPT. On failure the file
 * is unchanged.
 *
 * The functions below attach a file by themselves if it is neither a queue nor a storage. They then use the
 * storage that the file holds, also after emmap_blocks_init has replaced it. A file that begins with zeros is
 * then a storage without blocks. In a private mapping the storage changes in the handle's own copy.
 */
emmap_error emmap_blocks_attach(emmap_file *file, uint64_t block_size, unsigned levels);

/*
 * Makes an open file an EMPTY storage, whatever it holds. The bytes of old blocks stay in the file, but no
 * block is found any more. `block_size` 0 makes a storage without blocks. A mapping below 16 bytes grows.
 * Handles opened for another block size or number of levels return EMMAP_CORRUPT from then on.
 * Errors: EACCES; EINVAL for a queue, and for other numbers than those of emmap_blocks_open or
 * emmap_blocks_attach on this handle; as emmap_resize; as emmap_sync for a synced storage.
 */
emmap_error emmap_blocks_init(emmap_file *file, uint64_t block_size, unsigned levels);

/* Stores one block of exactly the block size. After EMMAP_OK the block is stored.
 * Errors: EINVAL for another length; EMMAP_FULL at the capacity or a fixed size; ENOSPC and the like as
 * emmap_resize. */
emmap_error emmap_block_store(emmap_file *file, const struct iovec *block, uint64_t *address);

/* Stores `count` blocks and sets their `count` addresses. On failure no block is stored, and no reader has seen one. A
 * process that dies meanwhile may leave some of them. Errors: as emmap_block_store. */
emmap_error emmap_block_store_many(emmap_file *file, const struct iovec *blocks, size_t count,
                                   uint64_t *addresses);

/* Copies the block out. Errors: ENOENT if no block has this address; ENOMEM. */
emmap_error emmap_block_read(emmap_file *file, uint64_t address, const emmap_sink *sink);

/* Frees the block. Errors: ENOENT if no block has this address. */
emmap_error emmap_block_free(emmap_file *file, uint64_t address);

/* Frees all of the blocks. On failure none is freed, and no reader has missed one. A process that dies
 * meanwhile may have freed some.
 * Errors: ENOENT if an address has no block or comes twice; ENOMEM. */
emmap_error emmap_block_free_many(emmap_file *file, const uint64_t *addresses, size_t count);

/* No address: the place of a walk that is at its end. */
#define EMMAP_BLOCKS_END UINT64_MAX

/*
 * Copies up to `limit` blocks out, in the order of their places in the file. For each it calls the sink once
 * and stores the address into `addresses`, which has room for `limit`. *count is their number. *place is the
 * address to begin at, with or without a block; 0: the first one. Each call sets it to where the next one goes on, or to
 * EMMAP_BLOCKS_END. A block that is stored or freed during the walk is met or not; every other block is met
 * once.
 * Errors: EMMAP_EOF if there are no more; EINVAL for a limit from 2^63 up; ESTALE for a place that is no
 * address; ENOMEM.
 */
emmap_error emmap_blocks_walk(emmap_file *file, size_t limit, uint64_t *place, uint64_t *addresses,
                              const emmap_sink *sink, size_t *count);

/* The number of blocks. Takes time in proportion to the largest number that there ever was, about 64 blocks a
 * step. */
emmap_error emmap_blocks_count(emmap_file *file, uint64_t *count);

typedef struct emmap_blocks_metadata {
    uint32_t block_size; /* bytes */
    unsigned levels;
    uint64_t capacity; /* blocks */
} emmap_blocks_metadata;

/* Works on a closed file, too, if it was a storage. */
emmap_error emmap_blocks_info(emmap_file *file, emmap_blocks_metadata *info);

/*
 * Computes all masks above the leaves again from the leaves' masks, which say which blocks exist. (An interrupted
 * operation needs no repair.) Repairs `limit` addresses from *place on, in the order of their places in the
 * file, each with the group of 4096 that it is in; 0: all. *place is 0 at first. Each call sets it to where
 * the next one goes on, or to 0 at the end. Other operations may run between two calls.
 * Errors: EINVAL for a limit from 2^63 up; ESTALE for a place that is no address.
 */
emmap_error emmap_blocks_repair(emmap_file *file, uint64_t limit, uint64_t *place);

/*
 * Gives the disk space of free blocks back to the file system: makes holes of the pages behind the last
 * block, and of pages before it that hold only free blocks. *bytes is the space given back. The file keeps
 * its size. Stores reserve space again, which costs a system call for each store, or for each 1 MiB of an
 * exclusive handle.
 *
 * Freeing does this by itself when 4 MiB and a quarter of the storage have been freed, or all of it, and the
 * size is not fixed.
 * Errors: ENOTSUP if the file system has no holes, and for a private mapping; as emmap_datasync for a synced
 * storage.
 */
emmap_error emmap_blocks_compact(emmap_file *file, uint64_t *bytes);

/* ---- Cell --------------------------------------------------------------------------------------------- */

/*
 * A cell is a file with one value, which is published whole: a configuration, or feature flags. Readers take no
 * lock and never see half a value. To the core the value is bytes.
 *
 * Death    If a process is killed while it publishes, the value is the one before or the new one, and readers and
 *          publishers go on.
 * Power    After emmap_sync or emmap_datasync, a power cut keeps the last synced value or a later one, whole. Without
 *          a sync the cell may be empty then. In a cell that was ever synced one publish in three waits for the disk.
 *
 * The functions for plain files work on it, too. Its size is fixed (EMMAP_FIXED_SIZE).
 */

/*
 * Opens a cell for values of up to `max_bytes` bytes, at most 2^30, or creates one that is empty. The file takes
 * four times as much, and 256 bytes and padding. max_bytes 0: the file's number. `options` are as for emmap_queue_open,
 * without a size and EMMAP_OPEN_FOLLOW.
 * Errors: as emmap_open, and EINVAL for another max_bytes than the file's, and for max_bytes 0 of a new file;
 * EMMAP_CORRUPT if the file is no cell; it is unchanged then.
 */
emmap_error emmap_cell_open(const char *path, uint64_t max_bytes, const emmap_options *options,
                            emmap_file **file);

/* Publishes the bytes of the vectors as the value, and ends waits for it. May wait for another publisher. Errors:
 * EACCES; EINVAL for more than max_bytes bytes; ETIMEDOUT; as emmap_datasync for a cell that was synced. */
emmap_error emmap_cell_publish(emmap_file *file, const struct iovec *vectors, size_t count);

/* Copies the value into the sink. *version, unless NULL, is the value's version. Waits for nobody. Errors: EMMAP_EOF
 * if nothing was published; EMMAP_CORRUPT if the file is damaged and no value is whole; EBUSY if others
 * publish faster than a copy takes, a thousand times; ENOMEM. */
emmap_error emmap_cell_get(emmap_file *file, const emmap_sink *sink, uint64_t *version);

/* The number of values published so far; 0: none. Another version is another value. Costs one load. */
emmap_error emmap_cell_version(emmap_file *file, uint64_t *version);

/* Waits while the version is `version`, as emmap_wait_begin. */
emmap_error emmap_cell_wait_begin(emmap_file *file, uint64_t version, uint64_t timeout,
                                  const emmap_waiter *waiter, emmap_wait **wait);

/* ---- Table -------------------------------------------------------------------------------------------- */

/*
 * A table is a file of entries: a key, which is bytes, and its 64-bit words. Keys are compared, and found by a hash
 * with a secret of the file, so that nobody can choose keys that make a look-up slow.
 *
 * Locks    A look-up and emmap_table_add take no lock if the key is there. Inserting, deleting, emmap_table_set and
 *          emmap_table_compare_exchange take the lock, and may wait for it (ETIMEDOUT).
 * Death    If a process is killed, the next change finishes or undoes its change. An addition that has returned is
 *          never lost.
 * Power    The first handle that opens a table for writing after a restart of the system computes all the rest again from
 *          the entries. A synced entry is there, with its words of the sync or later ones.
 *
 * The functions for plain files work on it, too. Its size is fixed (EMMAP_FIXED_SIZE).
 */

#define EMMAP_TABLE_KEY_BYTES 64u
#define EMMAP_TABLE_WORDS 2u

typedef struct emmap_table_metadata {
    uint64_t capacity;  /* keys of up to 38 bytes; a longer one takes the place of two, or of more */
    uint64_t key_bytes; /* the most bytes of a key, up to 1024; 0: EMMAP_TABLE_KEY_BYTES */
    uint64_t words;     /* of an entry, up to 64; 0: EMMAP_TABLE_WORDS */
} emmap_table_metadata;

/*
 * Opens a table, or creates one that is empty. With capacity 0 all three numbers are the file's. A million keys take
 * 64 MiB with the default numbers. `options` are as for emmap_cell_open.
 * Errors: as emmap_open, and EINVAL for numbers out of range, other ones than the file's, and capacity 0 of a new file;
 * EMMAP_CORRUPT if the file is no table; it is unchanged then.
 */
emmap_error emmap_table_open(const char *path, const emmap_table_metadata *asked,
                             const emmap_options *options, emmap_file **file);

/* The three numbers of the table. Errors: EINVAL for a file that is no table. */
emmap_error emmap_table_info(emmap_file *file, emmap_table_metadata *info);

/* The number of keys, expired ones included. Costs one load. */
emmap_error emmap_table_size(emmap_file *file, uint64_t *size);

/*
 * Makes a damaged table sound: everything follows from the units that have entries. Of two entries of one key one stays, and an
 * entry whose key is damaged goes. Others may use the table meanwhile, but wait to insert and to delete.
 * Errors: ENOMEM; ETIMEDOUT if another process has the lock and is stopped.
 */
emmap_error emmap_table_repair(emmap_file *file);

/*
 * These do to word `word` of a key, from 0, as the emmap_counter functions do to a counter. A key that is not there has
 * words of 0. It is inserted, except by emmap_table_get, and by an emmap_table_compare_exchange that does not exchange;
 * in a full table it takes the place of a limit that has expired.
 * Errors: EACCES; EINVAL for an empty key, one of more than key_bytes bytes, and a word past the last; EMMAP_FULL;
 * EMMAP_CORRUPT; emmap_table_get: ENOENT, EBUSY if others delete entries all the time.
 */
emmap_error emmap_table_add(emmap_file *file, const void *key, size_t length, uint64_t word, int64_t value,
                            int64_t *old);
emmap_error emmap_table_set(emmap_file *file, const void *key, size_t length, uint64_t word, int64_t value,
                            int64_t *old);
emmap_error emmap_table_get(emmap_file *file, const void *key, size_t length, uint64_t word, int64_t *value);
emmap_error emmap_table_compare_exchange(emmap_file *file, const void *key, size_t length, uint64_t word,
                                         int64_t expected, int64_t replacement, int64_t *old);

/* Deletes a key. An addition at the same time comes before it, and is lost with it, or comes after it, and inserts
 * the key again. Errors: ENOENT. */
emmap_error emmap_table_delete(emmap_file *file, const void *key, size_t length);

/*
 * Where the words of a key are, for doors that add to them directly. The 32-bit word at position + 4 is the
 * generation; the 64-bit words begin at position + 8. A door compares the generation, adds, and compares the generation
 * once more. If it has changed after the addition, the door subtracts again, and calls emmap_table_add.
 */
typedef struct emmap_table_place {
    uint64_t position;
    uint32_t generation;
} emmap_table_place;

/* Finds the words of a key. With `create` it inserts a key that is not there. Errors: as emmap_table_add; ENOENT. */
emmap_error emmap_table_find(emmap_file *file, const void *key, size_t length, bool create,
                             emmap_table_place *place);

/* A key may use `limit` in each window of `window_ms`. This hit uses `cost`, 1 in most cases. A negative cost takes back
 * earlier use in this window. Limit and cost are below 2^24. */
typedef struct emmap_table_limit {
    uint64_t limit;
    uint64_t window_ms;
    int64_t cost;
    uint32_t flags;
} emmap_table_limit;

typedef enum emmap_table_flag {
    /* The window slides. The use in the window before counts in proportion to the part of it that the sliding window
     * still covers. Without this flag windows follow each other, the same for all keys. */
    EMMAP_TABLE_SLIDING = 1 << 0,
    /* If the table is full and nothing has expired, the hit looks at 512 entries, and takes the place of the one that
     * expires first. The next hit looks at the next ones. Without this flag the hit is EMMAP_FULL. */
    EMMAP_TABLE_EVICT = 1 << 1
} emmap_table_flag;

typedef struct emmap_table_hit_result {
    bool allowed;       /* and counted; a hit that is not allowed uses nothing */
    uint64_t used;      /* in the window, this hit included if it is allowed */
    uint64_t remaining; /* of the limit */
    uint64_t reset_ms;  /* to the end of the window */
} emmap_table_hit_result;

/*
 * Counts a hit on a limit, in one atomic step. It takes no lock if the key is there and has not expired. It uses words 0
 * and 1 of the key, which nothing else should change. An entry that a hit has inserted expires at the end of its window, a
 * sliding one a window later. Then another key may take its place. A key has one window: with another window_ms it begins
 * anew.
 *
 * The clock is the system's time. If it is set back by more than a window, limits begin anew; if it is set forward, the
 * current windows end.
 * Errors: as emmap_table_add; EINVAL for numbers out of range, and a table with one word.
 */
emmap_error emmap_table_hit(emmap_file *file, const void *key, size_t length, const emmap_table_limit *limit,
                            emmap_table_hit_result *result);

/*
 * Reads up to `limit` entries, and calls the sink once for each: its words, 8 bytes each, and then its key. *count is their
 * number. *place is 0 at first; each call sets it to where the next one goes on. A call may give fewer than `limit` entries,
 * or none, before the end: it also ends before an entry for which the sink has no memory. An entry that is inserted or
 * deleted meanwhile may come or not; every other entry comes once.
 * Errors: EMMAP_EOF at the end; ENOMEM.
 */
emmap_error emmap_table_walk(emmap_file *file, uint64_t limit, uint64_t *place, const emmap_sink *sink,
                             uint64_t *count);

#ifdef __cplusplus
}
#endif

#endif
