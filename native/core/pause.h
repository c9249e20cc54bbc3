/* Points at which a test can stop or kill the process. Without EMMAP_PAUSE_POINTS they do nothing. */
#ifndef EMMAP_CORE_PAUSE_H
#define EMMAP_CORE_PAUSE_H

#ifdef EMMAP_PAUSE_POINTS
/* Provided by the test. */
void emmap_pause_point(const char *name);
#define PAUSE(name) emmap_pause_point(name)
#else
#define PAUSE(name) ((void)0)
#endif

#endif
