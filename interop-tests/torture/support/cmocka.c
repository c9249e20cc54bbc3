/* The functions of cmocka that support.c calls, for programs that run no tests, with C libraries that have no cmocka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

void _assert_true(const LargestIntegralType result, const char *const expression, const char *const file,
                  const int line)
{
    (void)expression, (void)file, (void)line;
    if (!result)
        abort();
}

void _assert_int_equal(const LargestIntegralType a, const LargestIntegralType b, const char *const file,
                       const int line)
{
    _assert_true(a == b, "", file, line);
}

void _assert_int_not_equal(const LargestIntegralType a, const LargestIntegralType b, const char *const file,
                           const int line)
{
    _assert_true(a != b, "", file, line);
}
