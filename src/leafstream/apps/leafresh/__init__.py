"""Leafresh: a Korean chatbot that recommends eco-friendly challenges; docs/leafresh.md."""

from __future__ import annotations

from leafstream.apps.leafresh.face import router
from leafstream.apps.leafresh.question import leafresh
from leafstream.faces.face import Face

__all__ = ["face", "leafresh"]

face = Face(router, public=("/leafresh",))
