"""A client of version 2 of the port program that goes on while a queue's lock is another process's.

python3 port_locked.py PROGRAM FOLDER QUEUE. It reads a line before each of its two steps, and writes one after it: "ready", when
the queue is open; "waits", while somebody has the lock; what it then found, once the lock is free.
"""

import sys
import time

from port_client import ANON, CREATE, FORWARD, OK, SHARED, WRITE, Atom, Port, error, expect, size


def say(text):
    print(text, flush=True)


def opened(port, path, timeout):
    ok, handle, _ = port("queue_open", path, [WRITE, CREATE, size(65536), (Atom("lock_timeout"), timeout)])
    assert ok == OK
    return handle


def main(program, folder, path):
    port = Port(program, folder, 2)
    patient, hasty = (opened(port, path.encode(), timeout) for timeout in (60_000, 200))
    _, words, _ = port("open", b"", [ANON, WRITE, SHARED, size(64)])
    say("ready")

    input()
    first = port.send(Atom("queue_push"), patient, b"message1")
    nested = port.send(Atom("queue_push"), patient, [b"mes", [b"sa", 103, [b"e"]], b"2"])
    cancelled = port.send(Atom("queue_push"), patient, b"cancelled")
    length = port.send(Atom("queue_length"), patient)
    add = (Atom("patomic_add"), words, 0, 1)
    push = (Atom("queue_push"), patient, [b"message", b"3"])
    batch = port.send(Atom("batch"), [add, push, (Atom("each"), Atom("queue_push"), 1, patient, [[b"message", b"4"], b"message5"]), add])
    # Other requests overtake the rest of the batch, and the requests on the waiting file.
    expect(port("patomic_load", words, 0), (OK, 1))
    expect(port("cancel", cancelled), OK)
    expect(port.reply(cancelled), Atom("cancelled"))
    begun = time.monotonic()
    expect(port("queue_push", hasty, b"too late"), error("etimedout"))
    assert time.monotonic() - begun >= 0.2
    assert not any(map(port.is_answered, (first, nested, length, batch)))
    say("waits")

    input()
    expect(port.reply(first), OK)
    expect(port.reply(nested), OK)
    before = port.reply(length)[1]
    expect(port.reply(batch), [(OK, 0), OK, OK, OK, (OK, 1)])
    place, messages = 0, []
    while (step := port("queue_walk", patient, FORWARD, 1000, place))[0] == OK:
        messages, place = messages + step[1], step[2]
    assert messages[-5:] == [b"message%d" % number for number in range(1, 6)]
    assert len(messages) == before + 3
    say("done")

    # The program answers all requests from before the end of the input.
    input()
    port.send(Atom("queue_push"), patient, b"message6")
    port.process.stdin.flush()
    port.process.stdin.close()
    say("ended")
    expect(port.process.wait(), 0)
    say("exited")


main(*sys.argv[1:])
