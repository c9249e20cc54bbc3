#include <unistd.h>

#include "container.h"
#include "file.h"
#include "mapping.h"
#include "wait.h"

/* Takes the descriptor out of the file. */
static descriptor_t *take_descriptor(emmap_file *file)
{
    const bool owned = !file_inherited(file);
    if (owned)
        pthread_mutex_lock(&file->state);
    descriptor_t *const taken = file->descriptor;
    __atomic_store_n(&file->descriptor, NULL, __ATOMIC_RELEASE);
    if (owned)
        pthread_mutex_unlock(&file->state);
    return taken;
}

emmap_error emmap_close(emmap_file *file)
{
    descriptor_t *const descriptor = take_descriptor(file);
    if (!descriptor)
        return EMMAP_OK;
    __atomic_fetch_or(&file->control.status, EMMAP_STATUS_CLOSED, __ATOMIC_SEQ_CST);
    emmap_mapping *const mapping = atomic_exchange(&file->mapping, NULL);
    if (mapping)
        emi_pin_drain(mapping);
    /* Slices and other handles keep their mappings without the name. The live folder of a file without a name
     * goes with the descriptor. */
    if ((file->options.flags & EMMAP_OPEN_AUTO_UNLINK) && file->absolute && emi_file_has_its_name(file))
        unlink(file->absolute);
    /* Not before the drain: the locks go with the descriptor, and a thread with a pin may be changing a
     * container under them. */
    emi_descriptor_release(descriptor);
    /* Not in a child: its parent's waits go on. */
    if (!file_inherited(file)) {
        container_t *const held = atomic_load(&file->container);
        emi_wait_end_all(file);
        if (held && held->closing)
            held->closing(held);
    }
    if (mapping)
        emi_mapping_release(mapping);
    return EMMAP_OK;
}

void emmap_free(emmap_file *file)
{
    if (!file)
        return;
    emmap_close(file);
    emi_file_release(file);
}
