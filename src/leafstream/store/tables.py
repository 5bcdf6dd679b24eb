"""The tables. A change here needs a migration in migrations/versions; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

REVISION = "0004"
"""The last migration; a database that has it is as the tables below say."""

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("title", String(200), nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("updated", DateTime(timezone=True), nullable=False),
    Column("owner", String(64), nullable=False, server_default=""),
    Column("session", String(64)),
    Column("metadata", JSON),
    Index("conversations_updated", "owner", "updated"),
    Index("conversations_session", "session", "created"),
)

turns = Table(
    "turns",
    metadata,
    Column(
        "conversation",
        String(64),
        ForeignKey("conversations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    Column("answer", String(64)),
    Column("value", JSON),
    Column("plan", JSON),
    Column("usage", JSON),
    Column("created", DateTime(timezone=True), nullable=False),
)
