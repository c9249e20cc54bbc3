/* A queue, as queue_layout.h describes it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "inspect.h"
#include "queue.h"
#include "taken_layout.h"

/* The number of messages, as the live folder has it for this header. */
static bool noted_length(const inspector_t *self, queue_header_t header, uint64_t *count)
{
    *count = self->length.count;
    return atomic_load_explicit(&self->length.valid, memory_order_relaxed) == 1 &&
           memcmp(self->length.header, self->head, sizeof self->length.header) == 0 &&
           *count <= (header.tail - header.head) / QUEUE_TOTAL_MIN;
}

/* Messages in hand and released ones are facts of their own. */
static emmap_error count_messages(inspector_t *self, uint64_t *count)
{
    const emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED};
    emmap_file *file;
    emmap_error error = emmap_queue_open(self->path, &options, &file);
    if (error)
        return error;
    error = emi_queue_length_of_file(file, count);
    size_t in_hand;
    if (!error && self->effort == EMMAP_CHECK &&
        emmap_queue_in_hand(file, NULL, 0, &in_hand) == EMMAP_CORRUPT) {
        emi_fact_failure(self, EMMAP_CORRUPT);
        emi_fact_word(&self->result->file, "damaged_beside", TAKEN_SUFFIX);
    }
    const emmap_failure failure = *emmap_last_failure();
    emmap_free(file);
    emi_error_restore(&failure);
    return error;
}

/* ---- Messages in hand ---- */

/* Adds to a writer how many messages the handles of its process have in hand. */
static void tell_writer(emmap_facts *writer, const taken_file_t *taken)
{
    uint64_t in_hand = 0;
    for (uint32_t i = 0; i < taken->owner_end && i < TAKEN_OWNERS; i++)
        if (taken->owner[i].about.process == writer->fact[0].number)
            in_hand += taken->owner[i].in_hand;
    emi_fact_number(writer, "in_hand", in_hand);
}

/* Whether the last handle that used the messages in hand used this queue. If not, both files are a copy, or the queue is another
 * one that has got the name. */
static bool is_of_this_file(const inspector_t *self, const taken_file_t *taken)
{
    struct stat about;
    return fstat(self->fd, &about) != 0 || taken->file == (uint64_t)about.st_ino;
}

/* The counts of the file beside the queue. They are computed again after a death in the middle of a change, and until then they
 * tell nothing. */
static void count_in_hand(inspector_t *self)
{
    emmap_inspection *const result = self->result;
    const int fd = emi_inspect_open_beside(self, TAKEN_SUFFIX);
    if (fd < 0)
        return;
    taken_file_t *const taken = malloc(sizeof *taken);
    if (taken && emi_inspect_read(fd, 0, taken, sizeof *taken) == EMMAP_OK && taken->magic == TAKEN_MAGIC &&
        taken->version == TAKEN_VERSION && taken->changing == 0) {
        emi_fact_number(&result->file, "in_hand", taken->in_hand);
        emi_fact_number(&result->file, "released", taken->released);
        if (taken->released > 0)
            emi_fact_number(&result->file, "due", taken->due);
        if (taken->in_hand + taken->released > 0 && !is_of_this_file(self, taken))
            emi_fact_flag(&result->file, "taken_elsewhere", true);
        for (size_t i = 0; i < result->writers; i++)
            tell_writer(&result->writer[i], taken);
    }
    free(taken);
    close(fd);
}

/* ---- The queue ---- */

static void tell_header(emmap_facts *facts, queue_header_t header)
{
    facts->fact[0].text = "queue";
    emi_fact_number(facts, "capacity", header.size);
    emi_fact_number(facts, "head", header.head);
    emi_fact_number(facts, "tail", header.tail);
    emi_fact_number(facts, "next_tail", header.next_tail);
    emi_fact_flag(facts, "synced", header.synced);
}

/* A queue's header holds only offsets of a queue. No header of another kind passes for one: numbers that other
 * kinds begin with are past the end of their files when they are read as big-endian. */
bool emi_inspect_queue(inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    uint32_t offset;
    if (self->size < QUEUE_HEADER)
        return false;
    const queue_header_t header = queue_header_load(self->head);
    if (header.size < QUEUE_HEADER || emi_queue_header_wrong(header, self->size, &offset) != NULL)
        return false;
    tell_header(facts, header);
    count_in_hand(self);
    uint64_t count = 0;
    emmap_error error = EMMAP_OK;
    const bool noted = header.head == header.tail || noted_length(self, header, &count);
    if (!noted && self->effort == EMMAP_BRIEF)
        return true;
    if (!noted || self->effort == EMMAP_CHECK)
        error = count_messages(self, &count);
    if (error)
        emi_fact_failure(self, error);
    else
        emi_fact_number(facts, "length", count);
    return true;
}

/* The header would be sound in a longer file. Hardly any other file has two equal numbers there after smaller ones. */
bool emi_inspect_cut_queue(inspector_t *self)
{
    uint32_t offset;
    if (self->size < QUEUE_HEADER)
        return false;
    const queue_header_t header = queue_header_load(self->head);
    if (header.size <= self->size || header.tail >= header.size || header.next_tail != header.tail ||
        emi_queue_header_wrong(header, header.size, &offset) != NULL)
        return false;
    tell_header(&self->result->file, header);
    emi_fact_damage(self, emi_queue_header_wrong(header, self->size, &offset), 0);
    return true;
}
