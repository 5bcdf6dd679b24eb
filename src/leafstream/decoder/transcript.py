"""From events to the answer's text, for protocols that know only text that grows.

A plain answer's text is itself; a typed one's is canonical JSON: no white space, UTF-8, the
members in the order in which they were written. What was returned is never taken back. Where an
event changes what was written already (a retry, an ending that drops text), nothing more is
returned until the end, which decides: the rest, where the finished value begins with what was
written, else Rewritten.
"""

from __future__ import annotations

from io import StringIO

import msgspec

from leafstream.errors import InvalidAnswer
from leafstream.events import Event, Finished, Growth, TextAppended, ValueSet
from leafstream.pointer import Json, split

_encoder = msgspec.json.Encoder()


class Rewritten(InvalidAnswer):
    """The finished answer differs from what was sent of it while it was written."""

    code = "rewritten_answer"


def canonical_text(value: Json) -> str:
    """A value as compact JSON."""
    return _encoder.encode(value).decode()


class Transcript:
    """The text of one answer; `typed` where it has a schema."""

    def __init__(self, *, typed: bool) -> None:
        self._typed = typed
        self._written = StringIO()
        self._open: list[_Container] = []
        self._string: str | None = None
        self._holding = False

    @property
    def text(self) -> str:
        """Everything that was returned."""
        return self._written.getvalue()

    def feed(self, event: Event) -> str:
        """What `event` adds to the text. Raises Rewritten."""
        if isinstance(event, Finished):
            added = self._rest(event.value)
        elif self._holding or not isinstance(event, Growth):
            return ""
        elif not self._typed:
            added = self._plain(event)
        elif isinstance(event, TextAppended):
            added = self._grown(event.path, event.text)
        else:
            added = self._set(event.path, event.value)
        self._written.write(added)
        return added

    def _plain(self, event: TextAppended | ValueSet) -> str:
        if isinstance(event, TextAppended):
            return event.text
        self._holding = True
        return ""

    def _rest(self, value: Json) -> str:
        final = canonical_text(value) if self._typed else str(value or "")
        if not final.startswith(self.text):
            raise Rewritten(
                "the answer was changed after parts of it had been sent; ask without 'stream'"
            )
        return final[len(self.text) :]

    def _grown(self, path: str, text: str) -> str:
        escaped = canonical_text(text)[1:-1]
        if path == self._string:
            return escaped
        before = self._reach(path)
        if self._holding:
            return ""
        self._string = path
        return f'{before}"{escaped}'

    def _set(self, path: str, value: Json) -> str:
        if path == self._string or (self._open and not path):
            self._holding = True
            return ""
        for depth, container in enumerate(self._open):
            if container.path == path:
                return self._close_from(depth) if container.holds(value) else self._hold()
        before = self._reach(path)
        if self._holding:
            return ""
        if isinstance(value, dict | list) and not value:
            # Empty: it may be announced only, so it stays open until the next place is known.
            self._open.append(_Container(path, is_object=isinstance(value, dict)))
            return before + ("{" if isinstance(value, dict) else "[")
        return before + canonical_text(value)

    def _hold(self) -> str:
        self._holding = True
        return ""

    def _reach(self, path: str) -> str:
        """What closes and opens between the current place and the new value at `path`."""
        if not path:
            return "" if not self._open and not self.text else self._hold()
        depth = sum(container.leads_to(path) for container in self._open)
        if self._open and not depth:
            return self._hold()
        parts = [self._close_from(depth)]
        known = self._open[-1].path if self._open else ""
        if not self._open:
            parts.append(self._opened("", path))
        tokens = path[len(known) + 1 :].split("/")
        for token in tokens[:-1]:
            known = f"{known}/{token}"
            parts += [self._placed(token), self._opened(known, path)]
        parts.append(self._placed(tokens[-1]))
        return "" if self._holding else "".join(parts)

    def _opened(self, base: str, path: str) -> str:
        """Open the container at `base`, which nothing announced: digits name items."""
        first = path[len(base) + 1 :].partition("/")[0]
        is_object = not (first.isascii() and first.isdigit())
        self._open.append(_Container(base, is_object=is_object))
        return "{" if is_object else "["

    def _placed(self, token: str) -> str:
        """The comma and the key before the next member or item of the innermost container."""
        container = self._open[-1]
        if not container.is_object and token != str(container.num):
            return self._hold()
        comma = "," if container.num else ""
        container.num += 1
        key = canonical_text(split(f"/{token}")[0]) + ":" if container.is_object else ""
        return comma + key

    def _close_from(self, depth: int) -> str:
        """End the open string and the containers from `depth` on."""
        quote = '"' if self._string is not None else ""
        self._string = None
        closed = self._open[depth:]
        del self._open[depth:]
        return quote + "".join("}" if c.is_object else "]" for c in reversed(closed))


class _Container:
    __slots__ = ("is_object", "num", "path")

    def __init__(self, path: str, *, is_object: bool) -> None:
        self.path = path
        self.is_object = is_object
        self.num = 0

    def leads_to(self, path: str) -> bool:
        return path.startswith(self.path + "/")

    def holds(self, value: Json) -> bool:
        """Whether `value` can be this container as it was written."""
        kind = dict if self.is_object else list
        return isinstance(value, kind) and len(value) == self.num
