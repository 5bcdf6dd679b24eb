"""The grammar of what may follow a half-written answer, for engines whose grammars start afresh.

An engine that is asked to go on after `{"title":"Bring a c` under a schema needs the grammar of the
rest: the end of that string, the members that are still to come, the closing brackets. What is
finished is written here as Lark rules (llguidance's dialect); whole values to come are handed to
llguidance as their own JSON schemas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec

from leafstream.canonical import RawSchema
from leafstream.decoder.scan import Frame, Kind, Scan
from leafstream.engines.lark import CHAR, either, escape, literal, quoted
from leafstream.engines.numbers import following, is_within
from leafstream.pointer import Json
from leafstream.schema import Node, Schema, type_of

_STRING: RawSchema = {"type": "string"}
_ANYTHING: RawSchema = {}
_LITERALS = {"true": "boolean", "false": "boolean", "null": "null"}


MAX_DEPTH = 128
"""Containers open at once, beyond which there is no grammar."""


def remainder(prefix: str, schema: Schema) -> str | None:
    """A Lark grammar of every compact text that completes `prefix`; None where it cannot be told.

    Narrower than the schema nowhere, but for numbers under bounds, which begin no exponent. Wider
    in what a half-written number is a multiple of and in a half-written string's pattern or
    format, which are checked after generation.
    """
    try:
        scan = Scan(prefix)
    except ValueError:
        return None
    if scan.done or len(scan.frames) > MAX_DEPTH:
        return None
    return _Remainder(prefix, scan, schema).grammar()


class _Remainder:
    def __init__(self, prefix: str, scan: Scan, schema: Schema) -> None:
        self._prefix = prefix
        self._frames = scan.frames
        self._pending = scan.pending
        self._schema = schema
        self._rules: list[str] = []
        self._values: dict[int, str] = {}
        self._rests: dict[tuple[int, Node], str | None] = {}
        self._tails: dict[tuple[Node, int], list[str]] = {}
        self._others: dict[Node, str] = {}
        self._keys: dict[str, RawSchema] = {}

    def grammar(self) -> str | None:
        start = self._rest(0, self._schema.root)
        if start is None:
            return None
        return "\n".join(["%llguidance {}", f"start: {start}", *self._rules])

    def _rest(self, depth: int, node: Node | None) -> str | None:
        """What completes the container at `depth`, or the pending value below the last one."""
        if node is None:
            return None
        if (depth, node) not in self._rests:
            if depth == len(self._frames):
                way = self._ending(node)
            else:
                ways = [self._container(depth, plain) for plain in node.alternatives()]
                way = either([way for way in ways if way is not None])
            # A rule of its own: there are many ways to a place within unions of unions.
            self._rests[depth, node] = None if way is None else self._rule(way)
        return self._rests[depth, node]

    def _container(self, depth: int, node: Node) -> str | None:
        frame = self._frames[depth]
        if not _admits(node, frame):
            return None
        if node.allowed is not None:
            return self._one_of(node.allowed, frame)
        innermost = depth + 1 == len(self._frames)
        if frame.is_object:
            return self._object(depth, node, innermost=innermost)
        return self._array(depth, node, innermost=innermost)

    def _one_of(self, allowed: Sequence[Json], frame: Frame) -> str | None:
        """The rest of those values that begin with what is written of the container."""
        written = self._prefix[frame.start :]
        texts = [quoted(value) for value in allowed]
        rests = [text[len(written) :] for text in texts if text.startswith(written)]
        return either([literal(rest) for rest in rests if rest])

    # Objects

    def _object(self, depth: int, node: Node, *, innermost: bool) -> str | None:
        frame = self._frames[depth]
        if innermost and self._pending.kind is Kind.NOTHING:
            return self._members(node, frame, first=not frame.value)
        if innermost and self._pending.kind is Kind.LOOSE:
            return self._after_comma(node, frame)
        inner = self._rest(depth + 1, node.member(frame.key))
        if inner is None:
            return None
        return f"{inner} {self._tail(node, _place(node, frame.key) + 1, frame)}"

    def _members(self, node: Node, frame: Frame, *, first: bool) -> str:
        """The members to come after the finished ones, and the closing brace."""
        if not first:
            last = list(frame.value)[-1]
            return self._tail(node, _place(node, last) + 1, frame)
        ways = [self._member(node, at, frame, "") for at in self._next(node, frame, 0)]
        if not _still_required(node, frame, 0):
            ways.append('"}"')
            if _takes_others(node):
                ways.append(f"{self._other(node)} {self._tail(node, len(node.keys), frame)}")
        return either(ways) or '"}"'

    def _after_comma(self, node: Node, frame: Frame) -> str | None:
        written = self._prefix[frame.end :].lstrip()
        comma = "" if written.startswith(",") or not frame.value else ","
        begun = written.removeprefix(",").lstrip()
        last = list(frame.value)[-1] if frame.value else None
        after = 0 if last is None else _place(node, last) + 1
        ways = [
            self._member(node, at, frame, begun)
            for at in self._next(node, frame, after)
            if quoted(node.keys[at]).startswith(begun)
        ]
        if not comma and _takes_others(node) and not _still_required(node, frame, after):
            other = self._other_begun(node, begun) if begun else self._other(node)
            if other is not None:
                ways.append(f"{other} {self._tail(node, len(node.keys), frame)}")
        found = either(ways)
        return f'"," {found}' if comma and found else found

    def _next(self, node: Node, frame: Frame, after: int) -> list[int]:
        """The places of the members that may be next: up to the first that is required."""
        places, required = [], frozenset(node.required)
        for at in range(after, len(node.keys)):
            if node.keys[at] in frame.value:
                continue
            places.append(at)
            if node.keys[at] in required:
                break
        return places

    def _member(self, node: Node, at: int, frame: Frame, begun: str) -> str:
        key = node.keys[at]
        name = literal(quoted(key)[len(begun) :] + ":")
        return f"{name} {self._value(node.member(key))} {self._tail(node, at + 1, frame)}"

    def _tail(self, node: Node, after: int, frame: Frame) -> str:
        """The rest of an object after a member: commas and members, and the closing brace."""
        place = (node, frame.start)
        if place not in self._tails:
            self._tails[place] = self._made_tails(node, frame)
        return self._tails[place][after]

    def _made_tails(self, node: Node, frame: Frame) -> list[str]:
        """The rule of what follows each place, from the end: each leads on to the next one's."""
        others = f'("," {self._other(node)})* ' if _takes_others(node) else ""
        tails = [self._rule(f'{others}"}}"')]
        required = frozenset(node.required)
        for key in reversed(node.keys):
            if key in frame.value:
                tails.append(tails[-1])
                continue
            name = literal(quoted(key) + ":")
            way = f'"," {name} {self._value(node.member(key))} {tails[-1]}'
            tails.append(self._rule(way if key in required else f"{way} | {tails[-1]}"))
        return tails[::-1]

    def _rule(self, ways: str) -> str:
        rule = self._name()
        self._rules.append(f"{rule}: {ways}")
        return rule

    def _other(self, node: Node) -> str:
        """A member that is not declared."""
        if node not in self._others:
            patterns = node.raw.get("patternProperties", {})
            ways = [
                f'{self._key(pattern)} ":" {self._json(raw)}'
                for pattern, raw in patterns.items()
                if raw is not False
            ]
            if additional := node.raw.get("additionalProperties", False):
                ways.append(f'{self._json(_STRING)} ":" {self._json(additional)}')
            self._others[node] = self._rule(" | ".join(ways))
        return self._others[node]

    def _other_begun(self, node: Node, begun: str) -> str | None:
        """The rest of one whose key is begun or whole, whichever member it is going to be."""
        if "\\" in begun:
            return None
        if len(begun) > 1 and begun.endswith('"'):
            return f'":" {self._value(node.member(begun[1:-1]))}'
        patterns = node.raw.get("patternProperties", {}).values()
        raws = [*patterns, node.raw.get("additionalProperties", False)]
        values = either([self._json(raw) for raw in raws if raw is not False])
        return f'/{CHAR}*"/ ":" {values}'

    def _key(self, pattern: str) -> str:
        if pattern not in self._keys:  # kept, since rules are known by their schema's identity
            self._keys[pattern] = {**_STRING, "pattern": pattern}
        return self._json(self._keys[pattern])

    # Arrays

    def _array(self, depth: int, node: Node, *, innermost: bool) -> str | None:
        frame = self._frames[depth]
        count = len(frame.value)
        if innermost and self._pending.kind is Kind.NOTHING:
            if count:
                return self._more(node, count)
            full = self._item(node, 0)
            ways = [] if full is None else [f"{full} {self._more(node, 1)}"]
            return either([*ways, '"]"'] if not node.raw.get("minItems", 0) else ways)
        if innermost and self._pending.kind is Kind.LOOSE:
            inner = self._item(node, count)
        else:
            inner = self._rest(depth + 1, node.item(count))
        return None if inner is None else f"{inner} {self._more(node, count + 1)}"

    def _item(self, node: Node, index: int) -> str | None:
        item = node.item(index)
        return None if item is None or index >= _most(node) else self._value(item)

    def _more(self, node: Node, count: int) -> str:
        """The items after the first `count`, and the closing bracket."""
        fixed = max(count, len(node.raw.get("prefixItems", ())))
        least = node.raw.get("minItems", 0)
        item = self._item(node, fixed)
        rest = '"]"'
        if item is not None:
            most = "" if _most(node) == float("inf") else str(int(_most(node)) - fixed)
            rest = f'("," {item}){{{max(0, least - fixed)},{most}}} "]"'
        for index in reversed(range(count, fixed)):
            item = self._item(node, index)
            if item is None:
                rest = '"]"'
            else:
                more = self._rule(f'"," {item} {rest}')
                rest = more if index < least else f'({more} | "]")'
        return rest

    # Values

    def _value(self, node: Node | None) -> str:
        return self._json(node.raw if node is not None else _ANYTHING)

    def _json(self, raw: Any) -> str:
        """The rule of a whole value, which llguidance makes from its schema."""
        if id(raw) not in self._values:
            rule = self._values[id(raw)] = self._name()
            source = dict(raw) if isinstance(raw, dict) else {}
            if named := self._schema.named(source):
                source["$defs"] = named
            source["x-guidance"] = {"whitespace_flexible": False, "lenient": True}
            self._rules.append(f"{rule}: %json {msgspec.json.encode(source).decode()}")
        return self._values[id(raw)]

    def _name(self) -> str:
        self._names = getattr(self, "_names", 0) + 1
        return f"r{self._names}"

    def _ending(self, node: Node) -> str | None:
        """The rest of the value that the text ends in."""
        pending = self._pending
        if pending.kind is Kind.VALUE:
            return (
                f"{literal(pending.text)} {self._value(node)}"
                if pending.text
                else self._value(node)
            )
        ways = [self._ended(plain) for plain in node.alternatives()]
        return either([way for way in ways if way is not None])

    def _ended(self, node: Node) -> str | None:
        pending = self._pending
        if pending.kind is Kind.STRING and "string" in node.types:
            return self._string(node, pending.text, self._prefix[pending.keep :])
        if pending.kind is Kind.NUMBER and node.types & {"integer", "number"}:
            return _number(node, pending.text)
        if pending.kind is Kind.LITERAL:
            words = [w[len(pending.text) :] for w, kind in _LITERALS.items() if kind in node.types
                     and w.startswith(pending.text)]  # fmt: skip
            return either([literal(word) for word in words if word])
        return None

    def _string(self, node: Node, written: str, broken: str) -> str | None:
        """The rest of a string of which `written` is decoded; `broken` is a half-written escape."""
        if node.allowed is not None:
            rests = [_rest_of(value, written) for value in node.allowed]
            return None if broken else either([literal(rest) for rest in rests if rest])
        rest = escape(broken)
        if rest is None:
            return None
        count = len(written) + bool(broken)
        low = max(0, node.raw.get("minLength", 0) - count)
        longest = node.raw.get("maxLength")
        high = "" if longest is None else str(max(low, longest - count))
        return f'/{rest}{CHAR}{{{low},{high}}}"/'


def _admits(node: Node, frame: Frame) -> bool:
    """Whether what is finished in a container can be this node's."""
    if ("object" if frame.is_object else "array") not in node.types:
        return False
    if not frame.is_object:
        return len(frame.value) <= _most(node)
    return all(_takes(node.member(key), value) for key, value in frame.value.items())


def _takes(node: Node | None, value: Json) -> bool:
    if node is None:
        return False
    return any(
        type_of(value) in plain.types
        and (plain.allowed is None or value in plain.allowed)
        and (not _is_number(value) or is_within(value, plain.raw))
        for plain in node.alternatives()
    )


def _most(node: Node) -> float:
    bound: float = node.raw.get("maxItems", float("inf"))
    return bound


def _place(node: Node, key: str) -> int:
    """Where a member stands in the order of its declaration; the end for one that is not there."""
    return node.keys.index(key) if key in node.keys else len(node.keys) - 1


def _still_required(node: Node, frame: Frame, after: int) -> bool:
    declared = frozenset(node.required).intersection(node.keys[after:])
    return not declared <= frame.value.keys()


def _takes_others(node: Node) -> bool:
    # The engine's grammar closes objects that do not speak of other members.
    patterns = node.raw.get("patternProperties", {})
    return bool(node.raw.get("additionalProperties", False)) or any(patterns.values())


def _rest_of(value: Json, written: str) -> str | None:
    """The JSON text that completes a string value of which `written` is there."""
    if not isinstance(value, str) or not value.startswith(written):
        return None
    return quoted(value[len(written) :])[1:]


def _number(node: Node, written: str) -> str | None:
    """The rest of a number of which `written` is there."""
    if node.allowed is not None:
        texts = [quoted(value) for value in node.allowed if _is_number(value)]
        rests = [text.removeprefix(written) for text in texts if text.startswith(written)]
        return either([quoted(rest) for rest in rests])
    rest = following(written, node.raw, whole="number" not in node.types)
    if rest is None:
        return None
    return f"/{rest}/" if rest else '""'


def _is_number(value: Json) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
