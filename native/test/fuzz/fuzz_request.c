/*
 * The port program's input: any number of frames with any bytes. The program answers each frame with one whole frame that
 * has the request's id, or refuses it. Whatever paths the frames have, the fuzzer lets the program open only a few files
 * in a folder of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emmap.h"
#include "frame.h"
#include "handles.h"
#include "lock_limit.h"
#include "postponed.h"
#include "reply.h"
#include "session.h"
#include "subject.h"
#include "term.h"
#include "waits.h"

/* ---- Where paths lead ---- */

enum { FILES = 4 };
static char folder[64];

static const char *inside(const char *path)
{
    static char place[sizeof folder + 4];
    unsigned sum = 0;
    for (const char *at = path; *at; at++)
        sum += (unsigned char)*at;
    snprintf(place, sizeof place, "%s/%u", folder, sum % FILES);
    return place;
}

/* The linker makes the program call these functions for every file that an input opens. */
emmap_error __real_emmap_open(const char *path, const emmap_options *options, emmap_file **file);
emmap_error __wrap_emmap_open(const char *path, const emmap_options *options, emmap_file **file);
emmap_error __real_emmap_counters_open(const char *path, uint64_t count, const emmap_options *options,
                                       emmap_file **file);
emmap_error __wrap_emmap_counters_open(const char *path, uint64_t count, const emmap_options *options,
                                       emmap_file **file);
emmap_error __real_emmap_queue_open(const char *path, const emmap_options *options, emmap_file **file);
emmap_error __wrap_emmap_queue_open(const char *path, const emmap_options *options, emmap_file **file);
emmap_error __real_emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                                     const emmap_options *options, emmap_file **file);
emmap_error __wrap_emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                                     const emmap_options *options, emmap_file **file);
emmap_error __real_emmap_cell_open(const char *path, uint64_t max_bytes, const emmap_options *options,
                                   emmap_file **file);
emmap_error __wrap_emmap_cell_open(const char *path, uint64_t max_bytes, const emmap_options *options,
                                   emmap_file **file);
emmap_error __real_emmap_table_open(const char *path, const emmap_table_metadata *asked,
                                    const emmap_options *options, emmap_file **file);
emmap_error __wrap_emmap_table_open(const char *path, const emmap_table_metadata *asked,
                                    const emmap_options *options, emmap_file **file);

/* Leaves out options that take long, use the machine's own memory, or map at addresses that the sanitizer needs. */
static emmap_options tamed(const emmap_options *options)
{
    emmap_options result = *options;
    result.flags &=
        ~(uint32_t)(EMMAP_OPEN_HUGETLB | EMMAP_OPEN_HUGE_2MB | EMMAP_OPEN_HUGE_1GB | EMMAP_OPEN_FIXED);
    result.address = 0;
    return result;
}

emmap_error __wrap_emmap_open(const char *path, const emmap_options *options, emmap_file **file)
{
    const emmap_options asked = tamed(options);
    return __real_emmap_open(inside(path), &asked, file);
}

emmap_error __wrap_emmap_counters_open(const char *path, uint64_t count, const emmap_options *options,
                                       emmap_file **file)
{
    const emmap_options asked = tamed(options);
    return __real_emmap_counters_open(inside(path), count, &asked, file);
}

emmap_error __wrap_emmap_queue_open(const char *path, const emmap_options *options, emmap_file **file)
{
    const emmap_options asked = tamed(options);
    return __real_emmap_queue_open(inside(path), &asked, file);
}

emmap_error __wrap_emmap_blocks_open(const char *path, uint64_t block_size, unsigned levels,
                                     const emmap_options *options, emmap_file **file)
{
    const emmap_options asked = tamed(options);
    return __real_emmap_blocks_open(inside(path), block_size, levels, &asked, file);
}

emmap_error __wrap_emmap_table_open(const char *path, const emmap_table_metadata *asked,
                                    const emmap_options *options, emmap_file **file)
{
    const emmap_options given = tamed(options);
    emmap_table_metadata small = *asked;
    if (small.capacity > 64)
        small.capacity = UINT64_MAX;
    return __real_emmap_table_open(inside(path), &small, &given, file);
}

emmap_error __wrap_emmap_cell_open(const char *path, uint64_t max_bytes, const emmap_options *options,
                                   emmap_file **file)
{
    const emmap_options asked = tamed(options);
    return __real_emmap_cell_open(inside(path), max_bytes > 4096 ? UINT64_MAX : max_bytes, &asked, file);
}

static void remove_files(void)
{
    char path[sizeof folder + 16];
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%u", folder, i);
        require(unlink(path) == 0 || errno == ENOENT);
        snprintf(path, sizeof path, "%s/%u-taken", folder, i);
        require(unlink(path) == 0 || errno == ENOENT);
    }
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    remove(path);
    return 0;
}

/* A run may end in several ways. So a parent process waits for its end, and then deletes the folder. */
static void make_folder(void)
{
    struct stat about;
    const char *const place =
        stat("/dev/shm", &about) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/emmap-fuzz-XXXXXX", place);
    require(mkdtemp(folder) != NULL);
    int ends[2];
    require(pipe2(ends, O_CLOEXEC) == 0);
    const pid_t cleaner = fork();
    require(cleaner >= 0);
    if (cleaner > 0) {
        close(ends[0]);
        return; /* the other end stays open for as long as this process lives */
    }
    char byte;
    setsid();
    /* A signal that ends the run is meant for the child. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    close(ends[1]);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    /* With the live folders that a killed run leaves. */
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

/* ---- Requests and answers ---- */

/* The only frame is at `bytes`: one term, {Id, Result}, with the request's id. */
static void require_answer(const uint8_t *bytes, size_t length, const uint8_t *request, size_t request_length)
{
    require(length > FRAME_HEADER + 1);
    const size_t said = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    require(said == length - FRAME_HEADER && bytes[FRAME_HEADER] == TERM_VERSION);
    term_t answer = {.bytes = (uint8_t *)bytes + FRAME_HEADER + 1, .length = said - 1};
    term_t asked = {.bytes = (uint8_t *)request + 1, .length = request_length - 1};
    require(term_check(answer.bytes, answer.length) == answer.length);
    uint32_t arity;
    term_t elements, id, asked_id;
    require(term_tuple(answer, &arity, &elements) && arity == 2 && term_next(&elements, &id));
    require(term_tuple(asked, &arity, &elements) && arity == 2 && term_next(&elements, &asked_id));
    require(id.length == asked_id.length && memcmp(id.bytes, asked_id.bytes, id.length) == 0);
}

static void answer_all(frame_reader_t *reader, handles_t *files, reply_t *out)
{
    for (;;) {
        uint8_t *frame;
        size_t length;
        switch (frame_next(reader, &frame, &length)) {
        case FRAME_READY: {
            uint8_t *const request = malloc(length + 1);
            require(request);
            memcpy(request, frame, length);
            const char *why;
            const bool answered = session_take(files, frame, length, out, &why);
            if (answered && out->length > 0)
                require_answer(out->bytes, out->length, request, length);
            else
                require(out->length == 0 && (!answered || waits_descriptor() >= 0 || !postponed_is_empty()));
            reply_clear(out);
            session_answer_late(files, out);
            reply_clear(out);
            free(request);
            if (!answered)
                return;
            break;
        }
        case FRAME_NONE:
            if (frame_fill(reader) != FRAME_NONE)
                return;
            break;
        default:
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A core that waits for itself would wait for ever; libFuzzer's -timeout reports it. */
    static int input = -1;
    if (input < 0) {
        make_folder();
        input = memfd_create("input", MFD_CLOEXEC);
    }
    require(input >= 0 && ftruncate(input, 0) == 0);
    require(pwrite(input, data, size, 0) == (ssize_t)size && lseek(input, 0, SEEK_SET) == 0);
    frame_reader_t reader = {.descriptor = input, .beside = -1, .rest = -1};
    handles_t files = {0};
    reply_t out = {0};
    answer_all(&reader, &files, &out);
    session_end();
    handles_free(&files);
    lock_limit_postpone(&out, false);
    reply_free(&out);
    frame_reader_free(&reader);
    remove_files();
    return 0;
}
