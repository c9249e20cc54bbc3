/*
 * The lock of the live folder (native/core/live_lock.c) between three handles. Each handle may die between any two steps. Then
 * a new handle follows, which may get the dead one's slot. One d_step is one atomic instruction, or one call of the kernel.
 *
 * Checked, by assertions:
 *   mutual exclusion       no handle enters the critical section while another one is in it
 *   no lost wake-up        before the first death no sleep lasts until its time is over
 *   no wait for the dead   when only time passes, a handle gets on after a limited number of sleeps
 *
 * Compiled with
 *   -DEARLY    a sleep may end at any moment, for no reason or by time. This checks mutual exclusion. Without it
 *              time passes only when nothing else can happen, which checks the other two
 *   -DWRONG=n  breaks one rule, numbered below; then a check must fail
 */
#ifndef WRONG
#define WRONG 0
#endif
#define NO_MARK 1      /* sleeps without LIVE_WAITED in the word */
#define NO_COMPARE 2   /* sleeps although the word has changed */
#define NO_KEEP 3      /* takes the lock after a sleep without LIVE_WAITED */
#define NO_WAKE 4      /* releases without waking */
#define NO_JUDGE 5     /* robs the owner, dead or alive, when its time is over */
#define NO_SWAP 6      /* robs by a store */
#define NO_BURY 7      /* takes a slot without looking at the word */
#define NO_GENERATION 8 /* takes a slot and keeps the dead owner's number */
#define NO_HASTE 9     /* does not take a word with LIVE_HURRIED, even after a sleep */

#define HANDLES 3
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#define NONE 255

#define TAKE 0
#define MARK 1
#define SLEEP 2

/* The word. slot: 0 is nobody, else the owner's slot + 1. */
byte w_slot, w_generation;
bit w_waited, w_hurried;

byte held[HANDLES] = NONE;   /* who holds the lock on the slot's byte, in the kernel */
byte generation[HANDLES];    /* of the slot */
byte joining = NONE;         /* who holds LOCK_JOIN */
bit asleep[HANDLES];         /* on the word, in the kernel */
bit killed[HANDLES];
bit finished[HANDLES];
byte deaths;
byte inside = NONE;          /* the critical section */

/* The word that a step found, so that a later step can tell whether it has changed. */
inline load()
{
    s_slot = w_slot;
    s_generation = w_generation;
    s_waited = w_waited;
    s_hurried = w_hurried
}

#define UNCHANGED                                                                                            \
    (w_slot == s_slot && w_generation == s_generation && w_waited == s_waited && w_hurried == s_hurried)

inline own(waited)
{
    w_slot = slot + 1;
    w_generation = mine;
    w_waited = waited;
    w_hurried = 0
}

/* Joins states whose difference does not matter. */
inline forget()
{
    s_slot = 0; s_generation = 0; s_waited = 0; s_hurried = 0;
    hurried = 0; slept = 0; sleeps = 0; in_time = 0; next = TAKE
}

proctype handle(byte me)
{
    byte slot, mine, rounds, sleeps;
    byte s_slot, s_generation, next;
    bit s_waited, s_hurried, hurried, slept, in_time;

    /* The first three have joined. */
    slot = me;
    goto joined;
join:
    {
        skip;
        d_step { joining == NONE -> joining = me };
        /* The first slot whose owner has ended. */
        d_step {
            slot = 0;
            do
            :: held[slot] == NONE -> break
            :: else -> slot++
            od;
            held[slot] = me
        };
        /* bury */
        d_step { load() };
        do
        :: WRONG != NO_BURY && s_slot == slot + 1 ->
            if
            :: d_step { UNCHANGED -> w_slot = 0; w_generation = 0; w_waited = 0; w_hurried = 0 };
                d_step { asleep[0] = 0; asleep[1] = 0; asleep[2] = 0 };
                break
            :: else -> d_step { load() }
            fi
        :: else -> break
        od;
        skip;
#if WRONG == NO_GENERATION
        mine = generation[slot];
#else
        d_step { generation[slot] = generation[slot] + 1; mine = generation[slot] };
#endif
        joining = NONE;
joined:
        do
        :: rounds == ROUNDS -> break
        :: else ->
            /* try */
            if
            :: d_step { w_slot == 0 && !w_waited && !w_hurried -> own(0) }; goto entered
            :: else
            fi;
again:
            skip;
            d_step {
                load();
                if
                :: s_slot == 0 && (!s_hurried || (hurried && WRONG != NO_HASTE)) -> next = TAKE
                :: else ->
                    if
                    :: (!s_waited || (hurried && !s_hurried)) && WRONG != NO_MARK -> next = MARK
                    :: else -> next = SLEEP
                    fi
                fi
            };
            if
            :: d_step { next == TAKE && UNCHANGED -> own(s_waited | (slept && WRONG != NO_KEEP)) }; goto entered
            :: d_step { /* mark */
                    next == MARK && UNCHANGED ->
                    w_waited = 1; w_hurried = w_hurried | hurried;
                    s_waited = w_waited; s_hurried = w_hurried
                }
            :: next == SLEEP
            :: else -> goto again
            fi;
            /* sleep */
            if
            :: d_step { UNCHANGED || WRONG == NO_COMPARE -> asleep[me] = 1 };
                if
                :: d_step { !asleep[me] -> in_time = 1; hurried = 1; slept = 1 }
#ifdef EARLY
                :: d_step { asleep[me] = 0; in_time = 1; hurried = 1; slept = 1 }
                :: d_step { asleep[me] = 0; in_time = 0; hurried = 1; slept = 1 }
#else
                :: timeout ->
                    d_step {
                        asleep[me] = 0; in_time = 0; hurried = 1; slept = 1;
                        sleeps++;
                        assert(deaths > 0); /* no lost wake-up */
                        assert(sleeps <= 2) /* no wait for the dead */
                    }
#endif
                fi
            :: else -> d_step { in_time = 1; hurried = 1; slept = 1 }
            fi;
            if
            :: d_step { /* judge */
                    !in_time && s_slot != 0 && (WRONG == NO_JUDGE || held[(s_slot - 1) % HANDLES] == NONE) ->
                    in_time = 0
                };
                /* rob */
                if
                :: d_step { UNCHANGED || WRONG == NO_SWAP -> own(1) }; goto entered
                :: else -> goto again
                fi
            :: else -> goto again
            fi;
entered:
            skip;
            d_step {
                assert(inside == NONE);
                inside = me;
                rounds++;
                forget()
            };
            d_step { assert(inside == me); inside = NONE };
            /* release */
            if
            :: d_step { w_slot == slot + 1 && w_generation == mine && !w_waited && !w_hurried -> w_slot = 0;
                        w_generation = 0 }
            :: else ->
                d_step {
                    assert(w_slot == slot + 1 && w_generation == mine);
                    s_waited = w_waited && WRONG != NO_WAKE;
                    w_slot = 0; w_generation = 0; w_waited = w_hurried
                };
                /* wake */
                if
                :: d_step { !s_waited || !(asleep[0] || asleep[1] || asleep[2]) -> forget() }
                :: d_step { s_waited && asleep[0] -> asleep[0] = 0; forget() }
                :: d_step { s_waited && asleep[1] -> asleep[1] = 0; forget() }
                :: d_step { s_waited && asleep[2] -> asleep[2] = 0; forget() }
                fi
            fi
        od;
        skip;
        d_step { held[slot] = NONE; finished[me] = 1 };
        goto done
    } unless {
        /* A dead handle takes no step, and sleeps no longer. */
        d_step { killed[me] -> asleep[me] = 0; inside = (inside == me -> NONE : inside) }
    };
    /* Then the kernel releases its locks. */
    d_step {
        joining = (joining == me -> NONE : joining);
        held[0] = (held[0] == me -> NONE : held[0]);
        held[1] = (held[1] == me -> NONE : held[1]);
        held[2] = (held[2] == me -> NONE : held[2]);
        killed[me] = 0; rounds = 0; slot = 0; mine = 0;
        forget()
    };
    goto join;
done:
    skip
}

proctype death()
{
    do
    :: deaths < DEATHS ->
        if
        :: d_step { !finished[0] && !killed[0] -> killed[0] = 1; deaths++ }
        :: d_step { !finished[1] && !killed[1] -> killed[1] = 1; deaths++ }
        :: d_step { !finished[2] && !killed[2] -> killed[2] = 1; deaths++ }
        :: break
        fi
    :: else -> break
    od
}

init
{
    atomic {
        held[0] = 0; held[1] = 1; held[2] = 2;
        run handle(0);
        run handle(1);
        run handle(2);
        run death()
    }
}
