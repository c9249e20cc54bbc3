/* The names of errors, and the details of the last failure. */
#define _GNU_SOURCE
#include <ctype.h>
#include <pthread.h>
#include <string.h>

#include "support.h"

static void the_cores_own_errors_have_a_name_and_an_atom(void **state)
{
    (void)state;
    static const struct {
        emmap_error error;
        const char *name, *atom;
    } own[] = {
        {EMMAP_OK, "OK", "ok"},
        {EMMAP_EOF, "EMMAP_EOF", "eof"},
        {EMMAP_BADARG, "EMMAP_BADARG", "badarg"},
        {EMMAP_CLOSED, "EMMAP_CLOSED", "closed"},
        {EMMAP_ALIGNMENT, "EMMAP_ALIGNMENT", "alignment"},
        {EMMAP_FULL, "EMMAP_FULL", "full"},
        {EMMAP_FIXED_SIZE, "EMMAP_FIXED_SIZE", "fixed_size"},
        {EMMAP_CORRUPT, "EMMAP_CORRUPT", "corrupt"},
        {(emmap_error)ENOTSUP, "ENOTSUP", "enotsup"},
        {EMMAP_ERROR_LIMIT, "UNKNOWN", "unknown"},
        {(emmap_error)4095, "UNKNOWN", "unknown"},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        assert_string_equal(emmap_error_name(own[i].error), own[i].name);
        assert_string_equal(emmap_error_atom(own[i].error), own[i].atom);
        assert_true(strlen(emmap_error_message(own[i].error)) > 0);
    }
}

static void every_errno_that_a_file_may_answer_has_its_own_name(void **state)
{
    (void)state;
    static const struct {
        int error;
        const char *name;
    } known[] = {
#define KNOWN(name) {name, #name}
        KNOWN(EPERM),        KNOWN(ENOENT),      KNOWN(EINTR),       KNOWN(EIO),         KNOWN(ENXIO),
        KNOWN(E2BIG),        KNOWN(EBADF),       KNOWN(EAGAIN),      KNOWN(ENOMEM),      KNOWN(EACCES),
        KNOWN(EFAULT),       KNOWN(EBUSY),       KNOWN(EEXIST),      KNOWN(EXDEV),       KNOWN(ENODEV),
        KNOWN(ENOTDIR),      KNOWN(EISDIR),      KNOWN(EINVAL),      KNOWN(ENFILE),      KNOWN(EMFILE),
        KNOWN(ENOTTY),       KNOWN(ETXTBSY),     KNOWN(EFBIG),       KNOWN(ENOSPC),      KNOWN(ESPIPE),
        KNOWN(EROFS),        KNOWN(EMLINK),      KNOWN(EPIPE),       KNOWN(EDEADLK),     KNOWN(ENAMETOOLONG),
        KNOWN(ENOLCK),       KNOWN(ENOSYS),      KNOWN(ELOOP),       KNOWN(EBADMSG),     KNOWN(EOVERFLOW),
        KNOWN(EDQUOT),       KNOWN(ESTALE),      KNOWN(ETIMEDOUT),   KNOWN(ENOTCONN),    KNOWN(EPROTO),
        KNOWN(ECONNABORTED), KNOWN(ECANCELED),   KNOWN(ENOBUFS),     KNOWN(ERANGE),      KNOWN(EDOM),
        KNOWN(ENOTEMPTY),
#ifdef __linux__
        KNOWN(ENOKEY),       KNOWN(EUCLEAN),     KNOWN(ENOMEDIUM),   KNOWN(EREMOTEIO),   KNOWN(EHWPOISON),
        KNOWN(EKEYREJECTED), KNOWN(EKEYEXPIRED), KNOWN(EKEYREVOKED), KNOWN(EMEDIUMTYPE),
#endif
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const emmap_error error = (emmap_error)known[i].error;
        assert_string_equal(emmap_error_name(error), known[i].name);
        const char *const atom = emmap_error_atom(error);
        assert_int_equal(strlen(atom), strlen(known[i].name));
        for (size_t at = 0; atom[at]; at++)
            assert_int_equal(atom[at], tolower((unsigned char)known[i].name[at]));
        const char *const message = emmap_error_message(error);
        assert_true(strlen(message) > 0 && strcmp(message, "unknown error") != 0);
    }
}

static void a_failure_says_which_call_and_why(void **state)
{
    (void)state;
    const emmap_failure *const failure = emmap_last_failure();
    assert_error(ENOENT, try_open(path_of("none"), (emmap_options){0}));
    assert_int_equal(failure->error, ENOENT);
    assert_string_equal(failure->syscall, "open");
    assert_null(failure->reason);
    assert_error(EINVAL, try_open(path_of("none"), (emmap_options){.flags = EMMAP_OPEN_CREATE}));
    assert_int_equal(failure->error, EINVAL);
    assert_null(failure->syscall);
    assert_non_null(failure->reason);

    uint8_t bytes[24] = "EMMAP01\n\2";
    put_file(path_of("counters"), bytes, sizeof bytes);
    emmap_file *file;
    assert_error(EMMAP_CORRUPT, emmap_counters_open(path_of("counters"), 0, NULL, &file));
    assert_int_equal(failure->error, EMMAP_CORRUPT);
    assert_int_equal(failure->offset, 8);
    assert_ptr_equal(emmap_last_failure(), failure);
}

static void *fail_elsewhere(void *path)
{
    require_error(ENOENT, try_open(path, (emmap_options){0}));
    return NULL;
}

static void each_thread_has_a_last_failure_of_its_own(void **state)
{
    (void)state;
    put_file(path_of("empty"), "", 0);
    assert_error(EINVAL, try_open(path_of("empty"), (emmap_options){0}));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, (void *)(uintptr_t)path_of("none")), 0);
    pthread_join(thread, NULL);
    assert_int_equal(emmap_last_failure()->error, EINVAL);
}

static void cleaning_up_does_not_hide_why_an_open_failed(void **state)
{
    (void)state;
    /* The file is created, and removed again, because an empty file cannot be mapped. */
    assert_error(EINVAL,
                 try_open(path_of("file"), (emmap_options){.flags = EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE}));
    assert_int_equal(emmap_last_failure()->error, EINVAL);
    assert_non_null(emmap_last_failure()->reason);
    assert_false(exists(path_of("file")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cores_own_errors_have_a_name_and_an_atom),
        cmocka_unit_test(every_errno_that_a_file_may_answer_has_its_own_name),
        folder_test(a_failure_says_which_call_and_why),
        folder_test(each_thread_has_a_last_failure_of_its_own),
        folder_test(cleaning_up_does_not_hide_why_an_open_failed),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
