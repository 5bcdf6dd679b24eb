"""Alembic's entry: migrates over the connection that `leafstream.store.database` hands it."""

from __future__ import annotations

from alembic import context

from leafstream.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":
        # Replicas that start together migrate one after the other.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4821990)")
    context.run_migrations()
