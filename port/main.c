/*
 * emmap_port: the core for a BEAM node, or for any program that can write terms to a pipe.
 * docs/port-protocol.md says what goes over it.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "client.h"
#include "lock_limit.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { STATUS_USAGE = 64 /* as EX_USAGE of sysexits.h */ };

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

/* A stopped program does not see that its client has ended. ERTS ends the process that has started the program when the node ends,
 * however that happens. The program then goes on, and comes to the end of its input. */
static void go_on_without_client(void)
{
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGCONT);
#endif
}

/* Somebody may wait for the end of what the client prints. */
static void leave_stdio(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    if (null > STDERR_FILENO)
        close(null);
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
    go_on_without_client();
    if (input != STDIN_FILENO)
        leave_stdio();
    widen(input);
    widen(output);
    lock_limit_set(lock_limit);
    return session_run(input, output);
}
