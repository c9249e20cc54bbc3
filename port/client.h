/*
 * The memory of the client's process. ERTS ends the node if it lacks memory. It copies a reply while it receives it,
 * and needs a popped message three times: as it came, as a term, and on its way back. So a long reply is ENOMEM if the
 * client's limits (RLIMIT_AS, RLIMIT_DATA) leave too little.
 */
#ifndef EMMAP_PORT_CLIENT_H
#define EMMAP_PORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets the client's process id. Until it is set, and on systems that do not show limits, every reply is allowed. */
void client_set(uint64_t process);

/* True if it has been set: then the client is a BEAM node, or ends like one if it lacks memory. */
bool client_is_known(void);

/* True if the client's limits leave room for three copies of `length` bytes and for a node's other needs meanwhile. It does
 * not see a limit on a container's memory. Costs two system calls and the reading of a file in /proc. */
bool client_can_receive(size_t length);

#endif
