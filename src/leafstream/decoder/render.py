"""What was decoded so far, as strict JSON text with its end left open."""

from __future__ import annotations

import json
from itertools import pairwise

from leafstream.decoder.machine import COLON, KEY_TEXT, STRING, VALUE, WORD
from leafstream.decoder.quoted import QUOTED, Quoted
from leafstream.decoder.scan import begun_number
from leafstream.decoder.tolerant import BARE_KEY, LITERALS
from leafstream.decoder.tree import Frame, Tree
from leafstream.pointer import Json


def rendered(machine: Quoted) -> str:
    """The document of `machine`; a key, number, literal or string stands as far as it was read."""
    while machine.inner is not None:
        machine = machine.inner
    tree = machine.tree
    frames = _frames(tree)
    pending = "" if tree.top.muted else _pending(machine)
    if len(frames) == 1:
        return pending or (_text(tree.value) if tree.base.items else "")
    parts = [_begun(frame, _place(frame), is_open=True) for frame, _ in pairwise(frames[1:])]
    innermost = frames[-1]
    is_open = tree.in_text and not tree.muted and innermost is tree.top
    return "".join(parts) + _begun(innermost, pending or None, is_open=is_open)


def _frames(tree: Tree) -> list[Frame]:
    """From the base to the innermost open container that is told."""
    frames: list[Frame] = []
    frame: Frame | None = tree.top
    while frame is not None:
        if not frame.muted:
            frames.append(frame)
        frame = frame.parent
    return frames[::-1]


def _begun(frame: Frame, current: str | None, *, is_open: bool) -> str:
    """The container with its finished members or items, and the text of the current one."""
    if frame.is_object:
        done = [
            f"{_text(key)}:{_text(value)}"
            for key, value in frame.items.items()
            if not is_open or key != frame.key
        ]
    else:
        done = [_text(value) for value in frame.items[: frame.key if is_open else None]]
    if current is not None:
        done.append(current)
    elif done and done[-1][-1] in "0123456789":
        done[-1] += " "  # or it would read as a number that goes on
    return ("{" if frame.is_object else "[") + ",".join(done)


def _pending(machine: Quoted) -> str:
    """What is being read in the innermost container."""
    tree, state = machine.tree, machine.state
    read = "".join(machine.parts)
    if state in (KEY_TEXT, BARE_KEY):
        return _text(read)[:-1]
    if tree.muted or state not in (COLON, VALUE, STRING, QUOTED, WORD):
        return ""
    place = _place(tree.top)
    if state == COLON:
        return place[:-1]
    if state in (STRING, QUOTED) and (tree.in_text or read.strip()):
        return place + _text(tree.text if tree.in_text else read)[:-1]
    return place + (_scalar(read.strip()) if state == WORD else "")


def _place(frame: Frame) -> str:
    return f"{_text(frame.key)}:" if frame.is_object else ""


def _scalar(read: str) -> str:
    if begun_number(read):
        return read
    for name, value in LITERALS.items():
        if name.startswith(read):
            literal = _text(value)
            return literal if name == read else literal[: len(read)]
    return _text(read)[:-1]


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
