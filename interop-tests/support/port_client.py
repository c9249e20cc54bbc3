"""A client of the port program, written from docs/port-protocol.md alone: python3 port_client.py PROGRAM FOLDER.

It prints "ok" when everything was answered as the page says, and leaves files for others to look into.
"""

import os
import struct
import subprocess
import sys
import threading


class Atom(str):
    pass


def encode(term):
    if isinstance(term, bool):
        return encode(Atom("true" if term else "false"))
    if isinstance(term, Atom):
        name = term.encode()
        return bytes([119, len(name)]) + name
    if isinstance(term, int):
        if 0 <= term < 256:
            return bytes([97, term])
        if -(2**31) <= term < 2**31:
            return struct.pack(">Bi", 98, term)
        size = (abs(term).bit_length() + 7) // 8
        return bytes([110, size, term < 0]) + abs(term).to_bytes(size, "little")
    if isinstance(term, bytes):
        return struct.pack(">BI", 109, len(term)) + term
    if isinstance(term, tuple):
        return bytes([104, len(term)]) + b"".join(map(encode, term))
    if isinstance(term, list):
        return struct.pack(">BI", 108, len(term)) + b"".join(map(encode, term)) + b"j" if term else b"j"
    raise TypeError(term)


def decode(data, at):
    """The term at this place, and where the next one begins. Knows the tags that replies contain, and no others."""
    tag = data[at]
    at += 1
    if tag == 119:
        end = at + 1 + data[at]
        return Atom(data[at + 1 : end].decode()), end
    if tag == 97:
        return data[at], at + 1
    if tag == 98:
        return struct.unpack_from(">i", data, at)[0], at + 4
    if tag == 110:
        end = at + 2 + data[at]
        value = int.from_bytes(data[at + 2 : end], "little")
        return -value if data[at + 1] else value, end
    if tag == 109:
        end = at + 4 + struct.unpack_from(">I", data, at)[0]
        return data[at + 4 : end], end
    if tag == 106:
        return [], at
    if tag == 104:
        return several(data, at + 1, data[at], tuple)
    if tag == 108:
        items, at = several(data, at + 4, struct.unpack_from(">I", data, at)[0], list)
        assert data[at] == 106
        return items, at + 1
    if tag == 116:
        count = struct.unpack_from(">I", data, at)[0]
        items, at = several(data, at + 4, 2 * count, list)
        return dict(zip(items[::2], items[1::2])), at
    raise ValueError(f"a tag that the page does not name: {tag}")


def several(data, at, count, kind):
    items = []
    for _ in range(count):
        item, at = decode(data, at)
        items.append(item)
    return kind(items), at


class Port:
    """Replies are read in a thread of their own, so that writing never waits for them."""

    def __init__(self, program, folder, version=1, options=()):
        self.process = subprocess.Popen([program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        name, self.version, self.info = self.receive()
        assert name == "emmap_port" and self.version == 1 and self.info["protocols"] == [1, 2]
        self.replies = {}
        self.arrived = threading.Condition()
        self.next_id = 0
        threading.Thread(target=self.read_replies, daemon=True).start()
        if version > 1:
            ok, self.version, self.info = self("hello", version, list(options))
            assert (ok, self.version) == (OK, 2)

    def receive(self):
        header = self.process.stdout.read(4)
        if not header:
            return None
        frame = self.process.stdout.read(struct.unpack(">I", header)[0])
        assert frame[0] == 131
        term, end = decode(frame, 1)
        assert end == len(frame)
        return term

    def read_replies(self):
        while (reply := self.receive()) is not None:
            with self.arrived:
                self.replies[reply[0]] = reply[1]
                self.arrived.notify()

    def send(self, *operation):
        self.next_id += 1
        frame = b"\x83" + encode((self.next_id, operation))
        self.process.stdin.write(struct.pack(">I", len(frame)) + frame)
        return self.next_id

    def reply(self, number):
        self.process.stdin.flush()
        with self.arrived:
            self.arrived.wait_for(lambda: number in self.replies, timeout=60)
            return self.replies.pop(number)

    def one_of(self, numbers):
        """The number of the one that is answered first."""
        with self.arrived:
            self.arrived.wait_for(lambda: any(number in self.replies for number in numbers), timeout=60)
            return next(number for number in numbers if number in self.replies)

    def is_answered(self, number):
        with self.arrived:
            return number in self.replies

    def __call__(self, name, *arguments):
        return self.reply(self.send(Atom(name), *arguments))

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


OK, EOF, READ, WRITE, SHARED, CREATE, ANON, FORWARD, INFINITY = map(
    Atom, ["ok", "eof", "read", "write", "shared", "create", "anon", "forward", "infinity"]
)


def error(reason):
    return (Atom("error"), Atom(reason) if isinstance(reason, str) else reason)


def expect(answer, expected):
    assert answer == expected, f"{answer!r} is not {expected!r}"


def size(number):
    return (Atom("size"), number)


def files(port):
    options = [READ, WRITE, SHARED, CREATE, size(4096)]
    ok, file, about = port("open", b"plain.bin", options)
    assert ok == OK and about["size"] == 4096 and about["exist"] == "false"
    expect(port("pwrite", file, 10, [b"he", [b"ll", 111]]), OK)
    expect(port("pread", file, 10, 5), (OK, b"hello"))
    expect(port("pread", file, 4096, 1), EOF)
    expect(port("pwrite", file, 4095, b"ab"), error("einval"))
    expect(port("patomic_add", file, 8 * 16, 2**63), (OK, 0))
    expect(port("patomic_load", file, 8 * 16), (OK, -(2**63)))
    expect(port("patomic_load", file, 1), error("alignment"))
    expect(port("advise", file, 0, 0, Atom("gladly")), error("badarg"))
    expect(port("resize", file, -1), error("einval"))
    expect(port("sync", file), OK)
    expect(port("close", file), OK)
    expect(port("size", file), error("closed"))
    expect(port("open", b"missing/file", []), error("enoent"))
    expect(port("open", b"x", [Atom("frobnicate")]), error((Atom("badarg"), Atom("frobnicate"))))


def counters(port):
    ok, handle, count = port("counters_open", b"counters.bin", 3, [])
    assert (ok, count) == (OK, 3)
    expect(port("counter_add", handle, 1, 40), (OK, 0))
    expect(port("batch", [(Atom("counter_add"), handle, 1, 2), (Atom("each"), Atom("counter_get"), 1, handle, [0, 1, 3])]),
           [(OK, 40), (OK, 0), (OK, 42), error("einval")])


def waits(port):
    ok, words, _ = port("open", b"", [ANON, WRITE, SHARED, size(64)])
    assert ok == OK
    expect(port("wait", words, 8, 1, INFINITY), Atom("not_equal"))
    expect(port("wait", words, 8, 0, 0), Atom("timeout"))
    first, second = (port.send(Atom("wait"), words, 8, 0, INFINITY) for _ in range(2))
    expect(port("size", words), (OK, 64))
    expect(port("notify", words, 8, 1), (OK, 1))
    # Two waits that begin at the same time may have either order.
    woken = port.one_of([first, second])
    other = first + second - woken
    expect(port.reply(woken), OK)
    expect(port("cancel", other), OK)
    expect(port.reply(other), Atom("cancelled"))
    expect(port("notify", words, 8, INFINITY), (OK, 0))
    expect(port("close", words), OK)


def queue(port):
    ok, handle, _ = port("queue_open", b"queue.bin", [])
    assert ok == OK
    terms = [b"\x83" + encode(term) for term in [1, Atom("two"), (3, b"three")]]
    expect(port("queue_push_many", handle, terms), OK)
    place, seen = 0, []
    while (step := port("queue_walk", handle, FORWARD, 2, place)) != EOF:
        _, messages, place = step
        seen += messages
    assert [decode(message, 1)[0] for message in seen] == [1, "two", (3, b"three")]
    expect(port("queue_walk", handle, FORWARD, 0, 0), (OK, [], 0))
    for limit in (-1, 2**63, 2**64):
        expect(port("queue_pop_many", handle, limit), error("einval"))
    ok, message, ticket = port("queue_pop_begin", handle)
    assert ok == OK and decode(message, 1)[0] == 1
    ok, other, _ = port("queue_open", b"queue.bin", [])
    expect(port("queue_pop", other), error("ebusy"))
    expect(port("queue_pop_commit", other, ticket), error("einval"))
    expect(port("queue_pop_commit", handle, ticket), OK)
    expect(port("queue_pop_commit", handle, ticket), error("einval"))
    expect(port("queue_length", handle), (OK, 2))
    assert set(port("queue_info", handle)[1]) >= {"size", "head", "tail", "next_tail"}
    expect(port("queue_push", handle, b""), error("einval"))
    expect(port("block_read", handle, 0), error("einval"))


def blocks(port):
    ok, handle, _ = port("blocks_open", b"blocks.bin", 8, 2, [])
    assert ok == OK
    ok, addresses = port("block_store_many", handle, [b"%08d" % number for number in range(5)])
    expect(port("block_read", handle, addresses[3]), (OK, b"00000003"))
    expect(port("block_free", handle, addresses[3]), OK)
    expect(port("block_read", handle, addresses[3]), error("enoent"))
    ok, stored, where, place = port("blocks_walk", handle, 100, 0)
    assert sorted(stored) == [b"%08d" % number for number in (0, 1, 2, 4)] and len(where) == 4
    expect(port("blocks_walk", handle, 100, place), EOF)
    for nowhere in (4096, 2**63):
        expect(port("blocks_walk", handle, 100, nowhere), error("estale"))
    expect(port("blocks_repair", handle, 0, 0), (OK, 0))
    assert port("blocks_info", handle)[1]["capacity"] == 4096


def damage(port, folder):
    with open(os.path.join(folder, "damaged.bin"), "wb") as file:
        file.write(b"no queue is this" * 10)
    name, (reason, offset, text) = port("queue_open", b"damaged.bin", [])
    assert (name, reason) == ("error", "corrupt") and isinstance(offset, int) and text


def many_at_once(port):
    """More than pipes and program hold: the thread that reads keeps this one from being stopped for ever."""
    numbers = [port.send(Atom("size"), 0) for _ in range(200_000)]
    assert all(port.reply(number) == error("closed") for number in numbers)


def large_frames(port):
    ok, handle, _ = port("open", b"", [ANON, WRITE, size(32 << 20)])
    data = os.urandom(32 << 20)
    expect(port("pwrite", handle, 0, data), OK)
    assert port("pread", handle, 0, 32 << 20) == (OK, data)


def ends(port, wait, handle):
    """A wait on an empty queue ends when it is cancelled, and when its handle is closed; not when the queue is erased."""
    cancelled, closed = (port.send(wait, handle, INFINITY) for _ in range(2))
    expect(port("cancel", cancelled), OK)
    expect(port.reply(cancelled), Atom("cancelled"))
    expect(port("queue_erase", handle), OK)
    assert not port.is_answered(closed)
    expect(port("close", handle), OK)
    expect(port.reply(closed), error("closed"))
    expect(port("batch", [(wait, handle, 0)]), [error("closed")])



def received(port):
    """Takes messages with a ticket each; a wait for one is answered when it comes."""
    ok, handle, _ = port("queue_open", b"received.bin", [])
    expect(port("queue_receive", handle, 0), Atom("timeout"))
    expect(port("queue_receive", handle, -1), error("einval"))
    first, second = (port.send(Atom("queue_receive"), handle, INFINITY) for _ in range(2))
    expect(port("queue_length", handle), (OK, 0))
    expect(port("queue_push", handle, b"message1"), OK)
    taken = port.one_of([first, second])
    waiting = first + second - taken
    ok, message, ticket = port.reply(taken)
    assert (ok, message) == (OK, b"message1")
    expect(port("queue_length", handle), (OK, 1))
    expect(port("queue_pop_abort", handle, ticket), OK)
    # The message is still the first one, and the other client has it now.
    ok, message, ticket = port.reply(waiting)
    assert (ok, message) == (OK, b"message1")
    expect(port("queue_pop_commit", handle, ticket), OK)
    expect(port("queue_length", handle), (OK, 0))
    ends(port, Atom("queue_receive"), handle)


def seen(port):
    """Waits for the first message, which stays; a client that was not quick enough waits again."""
    _, handle, _ = port("queue_open", b"seen.bin", [])
    expect(port("queue_wait_front", handle, 0), Atom("timeout"))
    expect(port("queue_wait_front", handle, 10), Atom("timeout"))
    expect(port("queue_wait_front", handle, -1), error("einval"))
    expect(port("queue_wait_front", handle, Atom("soon")), error("badarg"))
    waiting = port.send(Atom("queue_wait_front"), handle, INFINITY)
    expect(port("queue_push", handle, b"message1"), OK)
    expect(port.reply(waiting), (OK, b"message1"))
    # Nobody has it, so anybody gets it, and at once.
    expect(port("queue_wait_front", handle, INFINITY), (OK, b"message1"))
    _, _, ticket = port("queue_pop_begin", handle)
    expect(port("queue_wait_front", handle, INFINITY), (OK, b"message1"))
    expect(port("queue_remove", handle, [b"message1"]), error("ebusy"))
    freed = port.send(Atom("queue_wait"), handle, INFINITY)
    expect(port("queue_pop_abort", handle, ticket), OK)
    expect(port.reply(freed), OK)
    expect(port("queue_remove", handle, [b"message1"]), OK)
    expect(port("queue_remove", handle, [b"message1"]), error("estale"))
    ends(port, Atom("queue_wait_front"), handle)
    _, handle, _ = port("queue_open", b"seen.bin", [])
    expect(port("batch", [(Atom("queue_wait_front"), handle, 0)]), [error("badarg")])
    expect(port("close", handle), OK)


def seen_first_by_another(program, folder):
    """A message that others remove first may be the answer, but cannot be removed again; the next one can."""
    ports = [Port(program, folder, 2) for _ in range(2)]
    handles = [port("queue_open", b"other.bin", [])[1] for port in ports]
    (one, other), (handle, _) = ports, handles
    waiting = one.send(Atom("queue_wait_front"), handle, INFINITY)
    expect(one("queue_length", handle), (OK, 0))
    expect(other("batch", [(Atom("queue_push"), handles[1], b"message1"), (Atom("queue_pop"), handles[1])]),
           [OK, (OK, b"message1")])
    expect(other("queue_push", handles[1], b"message2"), OK)
    answer = one.reply(waiting)
    if answer != (OK, b"message2"):
        expect(answer, (OK, b"message1"))
        expect(one("queue_remove", handle, [b"message1"]), error("estale"))
        expect(one("queue_wait_front", handle, INFINITY), (OK, b"message2"))
    expect(one("queue_remove", handle, [b"message2"]), OK)
    for port in ports:
        expect(port.end(), 0)


def taken_for_nobody(program, folder):
    """A message that was taken for a client that goes stays in the queue."""
    port = Port(program, folder, 2)
    _, handle, _ = port("queue_open", b"nobody.bin", [])
    expect(port("queue_push", handle, b"message1"), OK)
    assert port("queue_receive", handle, 0)[:2] == (OK, b"message1")
    expect(port.end(), 0)
    port = Port(program, folder)
    _, handle, _ = port("queue_open", b"nobody.bin", [])
    expect(port("queue_pop", handle), (OK, b"message1"))
    expect(port.end(), 0)


def short_replies(program, folder):
    """A client that takes no long replies gets fewer messages at once, and no message that is too long."""
    limit = (Atom("reply_limit"), 4096)
    port = Port(program, folder, 2, [limit])
    assert port.info["reply_limit"] == 4096
    _, handle, _ = port("queue_open", b"short.bin", [])
    messages = [b"%08d" % number * 125 for number in range(10)]
    expect(port("queue_push_many", handle, messages + [b"12345678" * 1000]), OK)
    ok, some, place = port("queue_walk", handle, FORWARD, 100, 0)
    assert some == messages[:4]
    ok, more, place = port("queue_walk", handle, FORWARD, 100, place)
    assert more == messages[4:8]
    assert port("queue_walk", handle, Atom("backward"), 100, 0) == error("emsgsize")
    popped = []
    while (answer := port("queue_pop_many", handle, 100)) != error("emsgsize"):
        popped += answer[1]
    assert popped == messages
    for wait in ("queue_wait_front", "queue_receive"):
        expect(port(wait, handle, 0), error("emsgsize"))
    expect(port("queue_length", handle), (OK, 1))
    _, storage, _ = port("blocks_open", b"short-blocks.bin", 1000, 2, [])
    port("block_store_many", storage, messages[:5])
    ok, blocks, addresses, place = port("blocks_walk", storage, 100, 0)
    assert 0 < len(blocks) == len(addresses) < 5
    expect(port("pread", storage, 0, 5000), error("emsgsize"))
    expect(port.end(), 0)


def same_ids(program, folder):
    """Two waits with one id could not be told apart."""
    port = Port(program, folder, 2)
    _, handle, _ = port("queue_open", b"ids.bin", [])
    port.send(Atom("queue_wait"), handle, INFINITY)
    port.next_id -= 1
    port.send(Atom("queue_wait"), handle, INFINITY)
    port.process.stdin.flush()
    expect(port.process.wait(), 2)


def greetings(port):
    expect(port("hello", 0, []), error("einval"))
    expect(port("hello", Atom("two"), []), error("badarg"))
    expect(port("hello", 2, [(Atom("reply_limit"), 10)]), error("einval"))
    expect(port("hello", 2, [(Atom("frobnicate"), 10)]), error("badarg"))
    expect(port("hello", 99, [])[:2], (OK, 2))
    expect(port("hello", 1, [])[:2], (OK, 1))
    expect(port("batch", [(Atom("hello"), 2, [])]), [error("badarg")])


def main(program, folder):
    port = Port(program, folder)
    assert {"queue_push", "batch"} <= set(port.info["operations"])
    files(port)
    counters(port)
    waits(port)
    queue(port)
    blocks(port)
    damage(port, folder)
    many_at_once(port)
    large_frames(port)
    expect(port("nothing", 1), error("badarg"))
    greetings(port)
    received(port)
    seen(port)
    expect(port.end(), 0)
    port = Port(program, folder, 2)
    received(port)
    seen(port)
    expect(port.end(), 0)
    seen_first_by_another(program, folder)
    taken_for_nobody(program, folder)
    short_replies(program, folder)
    same_ids(program, folder)
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
