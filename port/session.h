/* A session: requests are read and answered until the client ends it. */
#ifndef EMMAP_PORT_SESSION_H
#define EMMAP_PORT_SESSION_H

#include "handles.h"
#include "reply.h"

/* The program's exit status. */
enum {
    SESSION_FAILURE = 1,  /* a read, a write or memory failed */
    SESSION_BAD_FRAME = 2 /* the client does not speak the protocol */
};

/* Serves the client that writes to `input` and reads from `output`. Returns the exit status. */
int session_run(int input, int output);

/* Does one frame's request, and writes the answer or postpones the request. False: the frame ends the session, and `*why`
 * says what is wrong with it. */
bool session_take(handles_t *files, uint8_t *frame, size_t length, reply_t *out, const char **why);

/* Answers the requests that wait, if they can be answered now. */
void session_answer_late(handles_t *files, reply_t *out);

/* Ends all waits and postponed requests. */
void session_end(void);

#endif
