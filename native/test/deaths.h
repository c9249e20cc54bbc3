/* Kills a process at each place between two stores. */
#ifndef EMMAP_TEST_DEATHS_H
#define EMMAP_TEST_DEATHS_H

#include <signal.h>
#include <sys/wait.h>

#include "pause_points.h"
#include "structures.h"

#define POINTS_MAX 64

/* Shared between the test and its victims. */
typedef struct death {
    uint64_t target;           /* dies at this pause, counted from 1; 0: at none */
    uint64_t pauses;           /* so far */
    uint64_t started;          /* steps */
    uint64_t done;             /* acknowledged ones */
    uint64_t hits[POINTS_MAX]; /* deaths at each point, over all victims */
} death;

static death *deaths;
static const char *const *point_names;
static size_t point_count;

static inline bool begins_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Counts pauses, and dies at the target. Other operations on files have points too. But a point of a structure that is
 * not on the list is a mistake in the list. */
static inline void count_or_die(const char *name)
{
    /* test_live.c has the points of the live folder. */
    if (begins_with(name, "live_"))
        return;
    size_t point = 0;
    while (point < point_count && strcmp(point_names[point], name) != 0)
        point++;
    require(point < point_count ||
            !(begins_with(name, "queue_") || begins_with(name, "block") || begins_with(name, "cell_") ||
              begins_with(name, "table_") || begins_with(name, "structure_")));
    if (++deaths->pauses != deaths->target)
        return;
    if (point < point_count)
        deaths->hits[point]++;
    kill(getpid(), SIGKILL);
}

/* What a victim calls at a pause; a test may narrow it. */
static void (*counted)(const char *name) = count_or_die;

/* Runs `body` in a child that dies at its pause number `target`. False: the child ended before that. */
static inline bool dies_at(uint64_t target, void (*body)(void *), void *context)
{
    deaths->target = target;
    deaths->pauses = 0;
    pause_hook = counted;
    const int status = in_child(body, context);
    pause_hook = NULL;
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return true;
}

/* Every point has killed a process. */
static inline void assert_all_points_hit(void)
{
    for (size_t i = 0; i < point_count; i++) {
        print_message("%-24s %6lu deaths\n", point_names[i], (unsigned long)deaths->hits[i]);
        assert_true(deaths->hits[i] > 0);
    }
}

#endif
