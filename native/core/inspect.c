#define _GNU_SOURCE
#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

/* ---- Facts ---- */

static void add(emmap_facts *facts, emmap_fact fact)
{
    if (facts->count < EMMAP_FACTS)
        facts->fact[facts->count++] = fact;
}

void emi_fact_number(emmap_facts *facts, const char *name, uint64_t number)
{
    add(facts, (emmap_fact){.name = name, .type = EMMAP_FACT_NUMBER, .number = number});
}

void emi_fact_flag(emmap_facts *facts, const char *name, bool yes)
{
    add(facts, (emmap_fact){.name = name, .type = EMMAP_FACT_FLAG, .number = yes});
}

void emi_fact_word(emmap_facts *facts, const char *name, const char *text)
{
    add(facts, (emmap_fact){.name = name, .type = EMMAP_FACT_WORD, .text = text});
}

void emi_fact_text(emmap_facts *facts, const char *name, const char *text)
{
    add(facts, (emmap_fact){.name = name, .type = EMMAP_FACT_TEXT, .text = text});
}

void emi_fact_damage(inspector_t *self, const char *reason, uint64_t offset)
{
    emi_fact_text(&self->result->file, "damage", reason);
    emi_fact_number(&self->result->file, "damage_offset", offset);
}

void emi_fact_failure(inspector_t *self, emmap_error error)
{
    const emmap_failure *const failure = emmap_last_failure();
    if (error == EMMAP_CORRUPT)
        emi_fact_damage(self, failure->reason ? failure->reason : emmap_error_message(error),
                        failure->offset);
}

bool emmap_effort_named(const char *name, emmap_effort *effort)
{
    static const char *const names[] = {
        [EMMAP_BRIEF] = "brief", [EMMAP_COUNT] = "count", [EMMAP_CHECK] = "check"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *effort = (emmap_effort)i;
            return true;
        }
    return false;
}

/* ---- The file ---- */

emmap_error emi_inspect_read(int fd, uint64_t offset, void *bytes, size_t length)
{
    memset(bytes, 0, length);
    for (size_t done = 0; done < length;) {
        const ssize_t got = pread(fd, (uint8_t *)bytes + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return emi_error_from_errno("pread");
        if (got == 0)
            break;
        if (got > 0)
            done += (size_t)got;
    }
    return EMMAP_OK;
}

int emi_inspect_open_beside(const inspector_t *self, const char *suffix)
{
    char *const real = self->is_link ? realpath(self->path, NULL) : NULL;
    const char *const path = real ? real : self->path;
    const size_t size = strlen(path) + strlen(suffix) + 1;
    char *const name = malloc(size);
    int fd = -1;
    if (name) {
        snprintf(name, size, "%s%s", path, suffix);
        fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    }
    const int code = errno;
    free(name);
    free(real);
    errno = code;
    return fd;
}

/* Others may change the head meanwhile, and a read is not atomic. Two equal reads are of one moment. */
static emmap_error read_head(inspector_t *self)
{
    enum { LOOKS = 20 };
    uint8_t again[sizeof self->head];
    emmap_error error = emi_inspect_read(self->fd, 0, self->head, sizeof self->head);
    for (int i = 0; !error && i < LOOKS; i++) {
        error = emi_inspect_read(self->fd, 0, again, sizeof again);
        if (memcmp(again, self->head, sizeof again) == 0)
            break;
        memcpy(self->head, again, sizeof again);
    }
    return error;
}

/* Those with a magic come first, and what is only likely comes last. */
static bool (*const kinds[])(inspector_t *) = {emi_inspect_cell,  emi_inspect_table,  emi_inspect_counters,
                                               emi_inspect_queue, emi_inspect_blocks, emi_inspect_cut_queue};

static emmap_error inspect(inspector_t *self)
{
    struct stat about;
    emmap_facts *const facts = &self->result->file;
    if (fstat(self->fd, &about) != 0)
        return emi_error_from_errno("fstat");
    if (S_ISDIR(about.st_mode))
        return emi_error_from_syscall(EISDIR, "open", NULL);
    if (!S_ISREG(about.st_mode))
        return emi_error_from_syscall(ENODEV, "open", "only a regular file can be mapped");
    self->size = (uint64_t)about.st_size;
    emmap_error error = read_head(self);
    if (error)
        return error;
    emi_fact_word(facts, "kind", "plain");
    emi_fact_number(facts, "size", self->size);
    emi_fact_number(facts, "disk", (uint64_t)about.st_blocks * 512);
    emi_fact_number(facts, "mode", about.st_mode & 07777);
    error = emi_inspect_writers(self);
    for (size_t i = 0; !error && i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i](self))
            break;
    return error;
}

emmap_error emmap_inspect(const char *path, emmap_effort effort, emmap_inspection **result)
{
    *result = NULL;
    inspector_t self = {.path = path, .effort = effort};
    /* A FIFO must not block this, and a terminal not become the process's. */
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    self.fd = open(path, flags | O_NOFOLLOW);
    self.is_link = self.fd < 0 && errno == ELOOP;
    if (self.is_link)
        self.fd = open(path, flags);
    if (self.fd < 0)
        return emi_error_from_errno("open");
    self.result = calloc(1, sizeof *self.result);
    emmap_error error = self.result ? inspect(&self) : emi_error_set(ENOMEM, NULL);
    close(self.fd);
    if (error)
        emmap_inspection_free(self.result);
    else
        *result = self.result;
    return error;
}

void emmap_inspection_free(emmap_inspection *self)
{
    if (self)
        free(self->writer);
    free(self);
}
