/*
 * Shared by all tests: new folders, creating and reading files without the core, waiting for children, and stopping a
 * process at a pause point.
 */
#ifndef EMMAP_TEST_SUPPORT_H
#define EMMAP_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "emmap.h"

/* cmocka prints numbers of errors. These print names. */
#define assert_error(expected, call) assert_string_equal(emmap_error_name(call), emmap_error_name(expected))
#define assert_ok(call) assert_error(EMMAP_OK, call)

/* The same in a child, where cmocka cannot report: it ends the process with a message and status 1. */
#define require(condition) require_that((condition), #condition, __FILE__, __LINE__)
#define require_error(expected, call) require_same((expected), (call), #call, __FILE__, __LINE__)
#define require_ok(call) require_error(EMMAP_OK, call)
void require_that(bool condition, const char *text, const char *file, int line);
void require_same(emmap_error expected, emmap_error got, const char *text, const char *file, int line);

/* Setup and teardown of a test that needs a folder of its own. */
int folder_make(void **state);
int folder_remove(void **state);
#define folder_test(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

/* The path of `name` in the folder. It is valid until the test ends. */
const char *path_of(const char *name);

void put_file(const char *path, const void *bytes, size_t length);
/* The bytes of a file, in memory that is freed when the test ends. */
uint8_t *get_file(const char *path, size_t *length);
uint64_t size_of_file(const char *path);
bool exists(const char *path);
void assert_file(const char *path, const void *bytes, size_t length);

/* The number of this process's open descriptors, and of lines with `path` in its memory map. */
int open_descriptors(void);
int mappings_of(const char *path);

/* cmocka replaces the SIGBUS handler for each test. This installs the core's handler again, if there has been an open. The
 * functions below that open a file call it. */
void restore_fault_handler(void);

/* Opens a file as most tests do. */
emmap_file *open_file(const char *path, uint32_t flags, uint64_t size);
emmap_file *open_with(const char *path, emmap_options options);
emmap_error try_open(const char *path, emmap_options options);
void close_file(emmap_file *file);

/* A sink into a buffer of the exact length, so that the sanitizer guards its ends. */
typedef struct bytes {
    uint8_t *data;
    size_t length;
    int calls;
} bytes;
emmap_sink sink_into(bytes *into);
void bytes_free(bytes *self);
emmap_error write_bytes(emmap_file *file, uint64_t position, const void *data, size_t length);
emmap_error read_into(emmap_file *file, uint64_t position, void *data, size_t length);

/* Runs `body` in a forked child and returns its wait status. A child ends with _exit, so it checks no leaks. */
int in_child(void (*body)(void *), void *context);
pid_t start_child(void (*body)(void *), void *context);
int wait_child(pid_t child);
/* Ends the child with status 0. */
#define assert_child_passes(body, context) assert_int_equal(in_child((body), (context)), 0)

/* Zeroed memory that parent and children share. It is unmapped when the test ends. */
void *shared_memory(size_t length);

/* While a hook is set, it is called at each pause point with the point's name. */
extern void (*pause_hook)(const char *name);
/* A hook that kills the process with SIGKILL at the point of this name. */
void die_at(const char *name);

/* Mounts a file system of `size` bytes until the test ends. False: this user may not mount. */
bool mount_tmpfs(const char *path, const char *size);

#endif
