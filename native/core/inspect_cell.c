/* A cell, as cell_layout.h describes it. */
#include "cell.h"
#include "error.h"
#include "inspect.h"

/* The length of the last value, if its slot was not filled again meanwhile. */
static void add_length(inspector_t *self, const cell_header_t *header, uint64_t version)
{
    cell_slot_t slot;
    const uint64_t at = sizeof *header + version % CELL_SLOTS * cell_stride(header->max_bytes);
    if (version != 0 && emi_inspect_read(self->fd, at, &slot, sizeof slot) == EMMAP_OK &&
        slot.version == version && slot.length <= header->max_bytes)
        emi_fact_number(&self->result->file, "value_bytes", slot.length);
}

static emmap_error check(const inspector_t *self)
{
    const emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED};
    emmap_file *file;
    emmap_error error = emmap_cell_open(self->path, 0, &options, &file);
    if (error)
        return error;
    error = emi_cell_check(file);
    const emmap_failure failure = *emmap_last_failure();
    emmap_free(file);
    emi_error_restore(&failure);
    return error;
}

bool emi_inspect_cell(inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    cell_header_t header;
    uint64_t offset;
    if (emi_inspect_read(self->fd, 0, &header, sizeof header) != EMMAP_OK || header.magic != CELL_MAGIC)
        return false;
    const char *const wrong = emi_cell_header_wrong(&header, self->size, &offset);
    const uint64_t version = atomic_load_explicit(&header.version, memory_order_relaxed);
    facts->fact[0].text = "cell";
    emi_fact_number(facts, "max_bytes", header.max_bytes);
    emi_fact_number(facts, "version", version);
    emi_fact_flag(facts, "synced", header.synced != 0);
    if (wrong) {
        emi_fact_damage(self, wrong, offset);
        return true;
    }
    add_length(self, &header, version);
    if (self->effort == EMMAP_CHECK)
        emi_fact_failure(self, check(self));
    return true;
}
