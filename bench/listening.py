"""A client in a process of its own, as clients are: when each piece of text came.

    python -m bench.listening < QUESTION

Plain sockets, since a client takes its time from the same cores. Prints an Answer as JSON; its
times are on the clock that all processes of the machine share.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

import msgspec

SECONDS = 300.0
READ_BYTES = 1 << 13
TAIL = 2048


class Question(msgspec.Struct, frozen=True):
    """`streams` equal requests at once; every `mark` in what comes back is a piece of text."""

    address: tuple[str, int] | str
    path: str
    body: bytes
    mark: bytes
    streams: int

    def request(self) -> bytes:
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class Answer(msgspec.Struct):
    """When it was asked, when each piece came and the last byte, and the end of what was said."""

    begun: float
    times: list[list[float]]
    ends: list[float]
    tails: list[bytes]


def connected(address: tuple[str, int] | str) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = socket.socket(family)
    connection.settimeout(SECONDS)
    connection.connect(address)
    return connection


def heard(question: Question) -> Answer:
    """What was read is looked at when all of it is there: the cores are the server's until then."""
    request = question.request()
    connections = [connected(question.address) for _ in range(question.streams)]
    pieces: list[list[tuple[float, bytes]]] = [[] for _ in connections]
    begun = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for place, connection in enumerate(connections):
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ, place)
        while selector.get_map():
            for key, _ in selector.select(SECONDS):
                data = key.fileobj.recv(READ_BYTES)  # type: ignore[union-attr]
                if data:
                    pieces[key.data].append((time.perf_counter(), data))
                else:
                    selector.unregister(key.fileobj)
    return Answer(
        begun,
        [_marked(heard, question.mark) for heard in pieces],
        [heard[-1][0] if heard else begun for heard in pieces],
        [b"".join(data for _, data in heard)[-TAIL:] for heard in pieces],
    )


def _marked(pieces: list[tuple[float, bytes]], mark: bytes) -> list[float]:
    """When each mark had come, also one that lies in two pieces."""
    times: list[float] = []
    text, seen = b"", 0
    for now, data in pieces:
        text += data
        count = text.count(mark)
        times += [now] * (count - seen)
        seen = count
    return times


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(heard(asked)))
