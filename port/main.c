/*
 * emmap_port: the core for a BEAM node, or for any program that can write terms to a pipe.
 * docs/port-protocol.md says what goes over it.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "client.h"
#include "frame.h"
#include "handles.h"
#include "reply.h"
#include "request.h"
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STATUS_FAILURE = 1,   /* a read, a write or memory failed */
    STATUS_BAD_FRAME = 2, /* the client does not speak the protocol */
    STATUS_USAGE = 64     /* as EX_USAGE of sysexits.h */
};

/* Answers leave together once nothing more has come, or when there are this many bytes of them. */
#define WRITE_THRESHOLD ((size_t)256 << 10)

static void print_usage(FILE *stream)
{
    fputs("Usage: emmap_port [OPTION]...\n"
          "Serve memory-mapped files over frames of Erlang's external term format.\n"
          "\n"
          "  -n, --nouse-stdio    read from descriptor 3 and write to 4, not 0 and 1\n"
          "  -l, --lock-limit=MS  wait no longer for a lock that somebody else has, but in batches\n"
          "  -c, --client=PID     answer enomem where process PID has no memory for the answer\n"
          "  -h, --help           print this and end\n"
          "  -V, --version        print the version and end\n",
          stream);
}

/* Writes what has gathered. True while the client is there. */
static bool flush(int descriptor, reply *out, int *status)
{
    if (out->length > 0 && !frame_write(descriptor, out->bytes, out->length)) {
        if (errno != EPIPE) { /* a client that has gone is the end of the session, not a failure */
            fprintf(stderr, "emmap_port: can't write: %s\n", strerror(errno));
            *status = STATUS_FAILURE;
        }
        return false;
    }
    reply_clear(out);
    return true;
}

static int refuse(const char *what)
{
    fprintf(stderr, "emmap_port: bad frame: %s\n", what);
    return STATUS_BAD_FRAME;
}

/* Answers whatever frames have come, until there is no more of them. The status to exit with, or -1. */
static int answer_all(frame_reader *reader, int output, handles *files, reply *out)
{
    uint8_t *frame;
    size_t length;
    int status = EXIT_SUCCESS;
    for (;;) {
        /* What was answered must not be lost where the next answer has no room. */
        if (out->length > 0 && !reply_reserve(out, 0) && !flush(output, out, &status))
            return status;
        frame_status next = frame_next(reader, &frame, &length);
        bool answered = next == FRAME_READY && request_answer(files, frame, length, out);
        if (answered && out->length < WRITE_THRESHOLD)
            continue;
        if (!flush(output, out, &status))
            return status;
        if (answered)
            continue;
        if (next == FRAME_NONE)
            return -1;
        return refuse(next == FRAME_OVERSIZED ? "it is longer than the limit"
                                              : "it is no {Id, Operation} in external term format");
    }
}

/* Large frames then go over in fewer turns of writer and reader. What is not a pipe, or may not be made so large, works
 * as it is. */
static void widen(int descriptor)
{
#ifdef F_SETPIPE_SZ
    (void)fcntl(descriptor, F_SETPIPE_SZ, 1 << 20);
#else
    (void)descriptor;
#endif
}

static int serve(int input, int output)
{
    frame_reader reader = {.descriptor = input, .beside = -1};
    handles files = {0};
    reply out = {0};
    int status = -1;
    request_hello(&out);
    while (status < 0) {
        waits_answer(&out);
        status = answer_all(&reader, output, &files, &out);
        if (status >= 0)
            break;
        reader.beside = waits_descriptor();
        switch (frame_fill(&reader)) {
        case FRAME_END:
            status = EXIT_SUCCESS;
            break;
        case FRAME_TRUNCATED:
            status = refuse("the input ends within it");
            break;
        case FRAME_FAILED:
            fprintf(stderr, "emmap_port: can't read: %s\n", strerror(errno));
            status = STATUS_FAILURE;
            break;
        default:
            break;
        }
    }
    waits_free();
    handles_free(&files);
    reply_free(&out);
    frame_reader_free(&reader);
    return status;
}

static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"nouse-stdio", no_argument, NULL, 'n'},  {"lock-limit", required_argument, NULL, 'l'},
        {"client", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0}};
    int input = STDIN_FILENO, output = STDOUT_FILENO, option;
    uint64_t lock_limit = EMMAP_NO_LIMIT, client;
    while ((option = getopt_long(argc, argv, "nl:c:hV", long_options, NULL)) != -1) {
        switch (option) {
        case 'n':
            input = 3;
            output = 4;
            break;
        case 'l':
            if (!read_number(optarg, &lock_limit)) {
                fprintf(stderr, "emmap_port: not a number of milliseconds: %s\n", optarg);
                return STATUS_USAGE;
            }
            break;
        case 'c':
            if (!read_number(optarg, &client) || client == 0 || client > INT_MAX) {
                fprintf(stderr, "emmap_port: not a process id: %s\n", optarg);
                return STATUS_USAGE;
            }
            client_set(client);
            break;
        case 'h':
            print_usage(stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("emmap_port " EMMAP_PORT_VERSION);
            return EXIT_SUCCESS;
        default:
            print_usage(stderr);
            return STATUS_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "emmap_port: unexpected argument: %s\n", argv[optind]);
        print_usage(stderr);
        return STATUS_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    widen(input);
    widen(output);
    request_limit_locks(lock_limit);
    return serve(input, output);
}
