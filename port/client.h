/*
 * The memory of the client's process. ERTS ends the node where it lacks memory. It copies a reply while it receives it,
 * and a message that a pop removes is there three times: as it came, as a term, and on its way back. So a long reply is
 * ENOMEM where the client's limits (RLIMIT_AS, RLIMIT_DATA) leave too little.
 */
#ifndef EMMAP_PORT_CLIENT_H
#define EMMAP_PORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets the client's process id. Until it is set, and where the system does not tell, every reply is allowed. */
void client_set(uint64_t process);

/* True if it has been set: then the client is a BEAM node, or ends like one where it lacks memory. */
bool client_is_known(void);

/* True if the client's limits leave room for three copies of `length` bytes and for what else a node takes meanwhile. A
 * limit on a container's memory is not seen. Costs two system calls and the reading of a file in /proc. */
bool client_can_receive(size_t length);

#endif
