"""What an app keeps with a conversation, and the session it belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("session", sa.String(64)))
    op.add_column("conversations", sa.Column("metadata", sa.JSON))
    op.create_index("conversations_session", "conversations", ["session", "created"])


def downgrade() -> None:
    op.drop_index("conversations_session", "conversations")
    op.drop_column("conversations", "metadata")
    op.drop_column("conversations", "session")
