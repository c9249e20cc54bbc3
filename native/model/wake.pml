/*
 * How a push wakes a consumer that waits for a message: native/core/queue_wake.h, wait_list.c and live_bell.c. The steps have their
 * names. A consumer waits in a thread, or by its bell. Each wait may be cancelled.
 *
 *   no lost wake-up   before the first death nobody sleeps while there is a message
 *   late once         after a death a consumer may sleep beside a message until its next look. From then on it is woken
 *
 * Compiled with
 *   -DBELLS=n  the first n of the two consumers wait by bells
 *   -DWRONG=n  breaks one rule, numbered below; then a check must fail
 */
#ifndef WRONG
#define WRONG 0
#endif
#define NO_LOOK 1      /* sleeps without a look after it has armed the word */
#define LATE_BIT 2     /* sets the bit after the look */
#define NO_NEXT 3      /* takes a message without calling the next waiter */
#define NO_PASSING 4   /* a cancelled wait that was woken wakes nobody else */
#define NO_BIT_LOOK 5  /* a look sees messages, and not that the bit was taken */
#define NO_WORD_LOOK 6 /* a look does not see that the word is not ARMED */
#define LATE_CALLED 7  /* stores CALLED after it has woken a consumer */

#ifndef PUSHES
#define PUSHES 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef BELLS
#define BELLS 2
#endif
#define CONSUMERS 2
#define PROCESSES 3

mtype = { NOBODY, ARMED, CALLED };
mtype word = NOBODY;
byte messages, deaths, cancels;
bit bell[CONSUMERS], byte_there[CONSUMERS], sleeps[PROCESSES], dead[PROCESSES];
bit looked[CONSUMERS]; /* since the last death */

#define HAS_BELL(i) ((i) < BELLS)
#define WAITS(i) (HAS_BELL(i) && bell[i] || !HAS_BELL(i) && sleeps[i])

/* A process may die between any two steps. The kernel takes its thread out of the sleepers; its bit stays. */
#define DIE d_step { deaths++; looked[0] = 0; looked[1] = 0; dead[me] = 1; sleeps[me] = 0 }; goto died
#define STEP_OR_DIE if :: true :: deaths < DEATHS -> DIE fi

#define RING STEP_OR_DIE; d_step { if :: !dead[target] -> byte_there[target] = 1; woken = 1 :: else fi }

/* call and wake_one */
#define CALL \
    d_step { old = word; if :: WRONG != LATE_CALLED -> word = CALLED :: else fi }; \
    woken = (old == NOBODY); \
    do \
    :: woken -> break \
    :: !woken -> \
        STEP_OR_DIE; \
        if \
        :: d_step { HAS_BELL(0) && bell[0] -> bell[0] = 0; target = 0 }; RING \
        :: d_step { HAS_BELL(1) && bell[1] -> bell[1] = 0; target = 1 }; RING \
        :: d_step { !HAS_BELL(0) && sleeps[0] -> sleeps[0] = 0; woken = 1 } \
        :: d_step { !HAS_BELL(1) && sleeps[1] -> sleeps[1] = 0; woken = 1 } \
        :: !WAITS(0) && !WAITS(1) -> break \
        fi \
    od; \
    STEP_OR_DIE; \
    d_step { \
        if \
        :: WRONG == LATE_CALLED && woken && old != NOBODY -> word = CALLED \
        :: (!woken || old == NOBODY) && word == CALLED -> word = NOBODY \
        :: else \
        fi; \
        old = NOBODY; woken = 0; target = 0 \
    }

proctype producer(byte me)
{
    byte pushes, target;
    mtype old = NOBODY;
    bit woken;
    do
    :: pushes < PUSHES ->
        /* At once, or when nothing else can happen. */
        if :: true :: true -> timeout fi;
        pushes++;
        /* Several at once wake one consumer. */
        if :: messages++ :: messages = messages + 2 fi;
        STEP_OR_DIE;
        if
        :: word == NOBODY
        :: word != NOBODY -> CALL
        fi
    :: pushes == PUSHES -> break
    od;
died:
    skip
}

proctype consumer(byte me)
{
    mtype old = NOBODY;
    bit woken, was_set;
    byte target;
take:
    if
    :: d_step { messages > 0 -> messages-- };
        STEP_OR_DIE;
        /* emi_queue_call_next */
        if
        :: WRONG == NO_NEXT
        :: WRONG != NO_NEXT && word == NOBODY
        :: WRONG != NO_NEXT && word != NOBODY ->
            STEP_OR_DIE;
            d_step { if :: word == CALLED -> word = ARMED :: else fi };
            STEP_OR_DIE;
            if
            :: messages == 0
            :: messages > 0 -> CALL
            fi
        fi;
        /* It may take no other one. */
        if :: goto take :: goto gone fi
    :: messages == 0 -> skip
    fi;
    if :: HAS_BELL(me) && WRONG != LATE_BIT -> bell[me] = 1 :: else fi;
    STEP_OR_DIE;
    word = ARMED;
    STEP_OR_DIE;
    if
    :: messages > 0 && WRONG != NO_LOOK -> bell[me] = 0; goto take
    :: messages == 0 || WRONG == NO_LOOK
    fi;
    if :: HAS_BELL(me) && WRONG == LATE_BIT -> bell[me] = 1 :: else fi;
    /* The kernel compares the word. */
    if
    :: d_step { !HAS_BELL(me) && word == ARMED -> sleeps[me] = 1 }
    :: !HAS_BELL(me) && word != ARMED -> goto take
    :: HAS_BELL(me)
    fi;
asleep:
end:
    if
    :: d_step { HAS_BELL(me) && byte_there[me] -> byte_there[me] = 0; bell[me] = 0 }; goto take
    :: !HAS_BELL(me) && !sleeps[me] -> goto take
    :: cancels < CANCELS ->
        d_step {
            cancels++;
            was_set = (HAS_BELL(me) && bell[me]) || (!HAS_BELL(me) && sleeps[me]);
            bell[me] = 0; sleeps[me] = 0
        };
        if
        :: was_set || WRONG == NO_PASSING -> was_set = 0
        :: !was_set && WRONG != NO_PASSING -> CALL
        fi;
        goto gone
    :: deaths < DEATHS -> DIE
    :: timeout ->
        /* look */
        if
        :: messages > 0 ->
            d_step {
                assert(deaths > 0); /* no lost wake-up */
                assert(!looked[me]); /* late once */
                looked[me] = 1;
                bell[me] = 0; sleeps[me] = 0
            };
            goto take
        :: messages == 0 && ((word != ARMED && WRONG != NO_WORD_LOOK) ||
            (HAS_BELL(me) && !bell[me] && WRONG != NO_BIT_LOOK)) -> looked[me] = 1; goto take
        :: else -> looked[me] = 1; goto asleep
        fi
    fi;
gone:
died:
    skip
}

init {
    atomic {
        run consumer(0);
        run consumer(1);
        run producer(CONSUMERS)
    }
}
