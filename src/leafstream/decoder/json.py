"""From model text to the events of a typed answer."""

from __future__ import annotations

from functools import partial
from io import StringIO

from leafstream.decoder.judge import Judge
from leafstream.decoder.machine import DONE, Machine
from leafstream.decoder.opening import Opening
from leafstream.decoder.render import rendered
from leafstream.decoder.spots import Spot
from leafstream.decoder.text import THINK, Blocks, Reasoning
from leafstream.decoder.tolerant import Tolerant
from leafstream.decoder.tree import Tree
from leafstream.errors import InvalidAnswer
from leafstream.events import Event
from leafstream.pointer import Json
from leafstream.schema import Schema


class JsonDecoder:
    """Decodes the JSON document in a model's text as it comes, for an answer of type `schema`.

    Strict: the text is one JSON document (RFC 8259), else InvalidAnswer is raised, with the
    position in `details`, now and at every later call. Tolerant (the default): the first document
    in the text that could be of the type is read as it was meant; nothing raises.
    """

    def __init__(
        self,
        schema: Schema | None = None,
        *,
        strict: bool = False,
        reasoning: Reasoning = THINK,
        max_depth: int = 512,
    ) -> None:
        self._spot = Spot.root(schema)
        self._machine: Machine | None = None
        self._opening: Opening | None = None
        self._tree = Tree(self._spot)
        self._raw: StringIO | None = None
        self._error: InvalidAnswer | None = None
        self._stop = (Machine if strict else Tolerant).stop
        if strict:
            self._machine = Machine(self._tree, max_depth)
            self._raw = StringIO()
        else:
            # No method of this decoder: a cycle would outlive it.
            trial = partial(_trial, self._spot, max_depth)
            self._opening = Opening(trial, self._spot, Blocks(reasoning))

    @property
    def complete(self) -> bool:
        """Whether the root value is closed."""
        return self._machine is not None and self._machine.state == DONE

    @property
    def started(self) -> bool:
        """Whether a document has begun."""
        if self._machine is None or self._raw is None:
            return self._machine is not None
        return bool(self._raw.getvalue().strip())

    @property
    def growing(self) -> str | None:
        """The path of the string that is being read; None where none is."""
        return self._tree.path if self._tree.in_text else None

    @property
    def num_over(self) -> int:
        """How many characters of it are more than the schema allows: they are not told yet."""
        return self._tree.num_over

    @property
    def skipped(self) -> int:
        """How many characters stood before the document."""
        return self._opening.skipped if self._opening else 0

    @property
    def value(self) -> Json:
        """What a client holds by now: the fold of the events so far."""
        return self._tree.value

    def feed(self, text: str) -> list[Event]:
        """The events that `text` decides. Raises InvalidAnswer in strict mode."""
        tree = self._tree
        if tree.flowing and text and self._stop(text) is None:
            if self._raw is not None:
                self._raw.write(text)
            return tree.grow(text)
        if self._machine is None:
            return self._open(text)
        if self._error is not None:
            raise self._error
        out: list[Event] = []
        tree.out = out
        if self._raw is not None:
            self._machine.read = self._raw.tell()
            self._raw.write(text)
        try:
            self._machine.feed(text)
        except InvalidAnswer as error:
            self._fail(error)
            raise
        return out

    def finish(self) -> list[Event]:
        """What the end of the text decides. Raises InvalidAnswer in strict mode."""
        if self._error is not None:
            raise self._error
        self._tree.out = []
        if self._opening is not None and self._machine is None:
            self._begin(self._opening, self._opening.finish())
        if self._machine is not None:
            try:
                self._machine.finish()
            except InvalidAnswer as error:
                self._fail(error)
                raise
        return self._tree.out

    def prefix(self) -> str:
        """Strict JSON text that says what was decoded so far, its end left as open as it is.

        In strict mode the text itself.
        """
        if self._raw is not None:
            return self._raw.getvalue()
        return rendered(self._machine) if isinstance(self._machine, Tolerant) else ""

    def _fail(self, error: InvalidAnswer) -> None:
        self._error = error
        self._tree.flowing = False

    def _open(self, text: str) -> list[Event]:
        """Look for the document in `text`, and begin to read it where it is found."""
        assert self._opening is not None
        self._begin(self._opening, self._opening.feed(text))
        return [] if self._machine is None else self._tree.out

    def _begin(self, opening: Opening, rest: str) -> None:
        if opening.machine is not None:
            self._machine = opening.machine
            self._tree = opening.machine.tree
            self._machine.feed(rest)


def _trial(spot: Spot, max_depth: int, judge: Judge) -> Tolerant:
    return Tolerant(Tree(spot), max_depth, judge)
