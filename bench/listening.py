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
    request, overlap = question.request(), len(question.mark) - 1
    connections = [connected(question.address) for _ in range(question.streams)]
    answer = Answer(
        time.perf_counter(),
        [[] for _ in connections],
        [0.0] * len(connections),
        [b""] * len(connections),
    )
    with selectors.DefaultSelector() as selector:
        for place, connection in enumerate(connections):
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ, place)
        while selector.get_map():
            for key, _ in selector.select(SECONDS):
                place, data = key.data, key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                now = time.perf_counter()
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                tail = answer.tails[place]
                count = (tail[len(tail) - overlap :] + data).count(question.mark)
                answer.times[place] += [now] * count
                answer.ends[place] = now
                answer.tails[place] = (tail + data)[-TAIL:]
    return answer


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(heard(asked)))
