"""Whose a conversation is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.drop_index("conversations_updated", "conversations")
    op.add_column(
        "conversations", sa.Column("owner", sa.String(64), nullable=False, server_default="")
    )
    op.create_index("conversations_updated", "conversations", ["owner", "updated"])


def downgrade() -> None:
    op.drop_index("conversations_updated", "conversations")
    op.drop_column("conversations", "owner")
    op.create_index("conversations_updated", "conversations", ["updated"])
