/*
 * Looking at a file from outside (emmap_inspect). The inspector reads files by read(2) and asks the kernel about
 * locks. It maps nothing that a writer shares, takes no lock and stores nothing, so it can neither disturb nor
 * wait for a writer. Bytes that others write may be of different moments.
 *
 *   inspect.c           the file, and the order of all parts
 *   inspect_live.c      the live folder: the lock, and the handles
 *   inspect_<kind>.c    a kind of file: whether these bytes are of the kind, and its facts
 */
#ifndef EMMAP_CORE_INSPECT_H
#define EMMAP_CORE_INSPECT_H

#include "emmap.h"
#include "live_layout.h"

typedef struct inspector {
    const char *path;
    int fd;
    bool is_link; /* the path names a symbolic link */
    uint64_t size;
    emmap_effort effort;
    _Alignas(16) uint8_t head[64]; /* the first bytes of the file; zeros after its end */
    live_length_t length;          /* of the live folder's state, if that is this file's; else zeros */
    emmap_inspection *result;
} inspector_t;

/* Each adds one fact. */
void emi_fact_number(emmap_facts *facts, const char *name, uint64_t number);
void emi_fact_flag(emmap_facts *facts, const char *name, bool yes);
/* `text` is static, or lives as long as the inspection. */
void emi_fact_word(emmap_facts *facts, const char *name, const char *text);
void emi_fact_text(emmap_facts *facts, const char *name, const char *text);

/* Adds the damage of the file, and its place. */
void emi_fact_damage(inspector_t *self, const char *reason, uint64_t offset);

/* For facts that need the whole file: adds the damage if `error` says that there is some. Other errors (the file
 * changes all the time, or was replaced) only mean that these facts are unknown. */
void emi_fact_failure(inspector_t *self, emmap_error error);

/* Fills `bytes` from the file, with zeros after its end. Errors: those of pread. */
emmap_error emi_inspect_read(int fd, uint64_t offset, void *bytes, size_t length);

/* Opens for reading what lies beside the file under its name and `suffix`, and not beside a symbolic link to it. -1: there is
 * none; errno says why. */
int emi_inspect_open_beside(const inspector_t *self, const char *suffix);

/* Adds how writers exclude each other, and the facts of each writer. */
emmap_error emi_inspect_writers(inspector_t *self);

/* Adds the facts of this kind. False: the file is none. A new kind adds its function here and to the list in
 * inspect.c. */
bool emi_inspect_cell(inspector_t *self);
bool emi_inspect_table(inspector_t *self);
bool emi_inspect_counters(inspector_t *self);
bool emi_inspect_queue(inspector_t *self);
/* A queue whose file was cut off. */
bool emi_inspect_cut_queue(inspector_t *self);
bool emi_inspect_blocks(inspector_t *self);

#endif
