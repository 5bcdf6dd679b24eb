"""Whether what looks like the beginning of a document is the document."""

from __future__ import annotations

from leafstream.decoder.tree import Tree


class Refused(Exception):
    """The text at hand is not the document."""


class Judge:
    """Decides by what comes first. `clean` says that nothing but a fence stood before.

    Every method but `cut` sets `decided`, or raises Refused.
    """

    __slots__ = ("clean", "decided")

    def __init__(self, *, clean: bool) -> None:
        self.clean = clean
        self.decided = False

    def nested(self, tree: Tree, kind: str) -> None:
        """A container begins at the current place."""
        if not self.decided and kind not in tree.spot.types:
            self.refuse()
        if tree.top.depth > 3:
            if not self.clean:
                self.refuse()
            self.decided = True

    def member(self, tree: Tree) -> None:
        """A member's name was read: it must be known, where the schema knows names."""
        spot = tree.top.spot
        if spot.keys and tree.top.key not in spot.keys and not (self.clean and spot.open):
            self.refuse()
        self.decided = True

    def cut(self, tree: Tree) -> None:
        """The text ends in the first member's name: enough where the schema takes any name."""
        spot = tree.top.spot
        self.decided = self.decided or (self.clean and (spot.open or not spot.keys))

    def scalar(self, tree: Tree, *, known: bool) -> None:
        """A string, a number or a literal is an item, or the root."""
        is_root = tree.top is tree.base
        if not self.decided and (not known or (is_root and not self.clean)):
            self.refuse()
        self.decided = True

    def empty(self, tree: Tree) -> None:
        """A container was closed before anything was in it."""
        spot = tree.top.spot
        if not self.clean and (tree.top.is_object or not spot.wants("array")):
            self.refuse()
        self.decided = True

    def refuse(self) -> None:
        """Something had to be repaired already."""
        if not self.decided:
            raise Refused
