"""Opening a database: its driver, its pragmas, its migrations."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from leafstream.errors import SetupError, StoreUnavailable
from leafstream.settings import shown_url
from leafstream.store.tables import REVISION

logger = logging.getLogger("leafstream.store")

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_DRIVERS["postgres"] = _DRIVERS["postgresql"]
_MIGRATIONS = Path(__file__).parent / "migrations"


async def open_engine(given: str) -> AsyncEngine:
    """A pool of connections to a migrated database. Raises SetupError with what to do."""
    url = _url(given)
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The parameters of a statement are what people and models wrote: no traceback shows them.
    engine = create_async_engine(url, pool_pre_ping=True, hide_parameters=True)
    if url.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _pragmas)
    try:
        async with engine.connect() as connection:
            is_current = await connection.run_sync(_is_current)
        if not is_current:
            with _alone(url):
                async with engine.begin() as connection:
                    await connection.run_sync(_migrate)
    except (SQLAlchemyError, OSError) as error:
        await engine.dispose()
        raise _unusable(url, error) from None
    except SetupError:
        await engine.dispose()
        raise
    return engine


@contextmanager
def _alone(url: URL) -> Iterator[None]:
    """Keeps other processes from migrating the same SQLite file; PostgreSQL has a lock for that."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        yield
        return
    with open(f"{url.database}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unusable(url: URL, error: SQLAlchemyError | OSError) -> SetupError:
    return SetupError(
        f"the database {_shown(url)} cannot be used: "
        f"{getattr(error, 'orig', None) or error}; check LEAFSTREAM_DATABASE_URL"
    )


def _shown(url: URL) -> str:
    # SQLAlchemy hides the password before the host, and not one of the query.
    return shown_url(url.render_as_string(hide_password=True))


@contextmanager
def database_errors() -> Iterator[None]:
    """Makes what the database or its driver raises ours. Raises StoreUnavailable."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        logger.warning("the database failed: %s", reason)
        raise StoreUnavailable("the database cannot be used at the moment; try again") from error


def _url(given: str) -> URL:
    try:
        url = make_url(given)
    except ArgumentError:
        raise SetupError(
            "LEAFSTREAM_DATABASE_URL is no URL; write sqlite:////path/to/file.db or "
            "postgresql://user:password@host/name"
        ) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    driver = url.get_driver_name()
    if importlib.util.find_spec(driver) is None:
        raise SetupError(f"{driver} is not installed; pip install 'leafstream[postgres]'")
    return url


def _pragmas(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA database_list")
    for _number, _name, file in cursor.fetchall():
        _make_private(file)
    for pragma in ("journal_mode=WAL", "busy_timeout=10000", "foreign_keys=ON", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _make_private(file: str) -> None:
    """Leave a database to its owner alone; "" is one in memory."""
    # SQLite gives the files beside it the mode of the file, but those that are there keep theirs.
    for each in (file, f"{file}-wal", f"{file}-shm") if file else ():
        with suppress(FileNotFoundError, PermissionError):  # another user's: that one made it so
            os.chmod(each, 0o600)


def _is_current(connection: Connection) -> bool:
    return _revision(connection) == REVISION


def _revision(connection: Connection) -> str | None:
    """Which tables are there; None where there are none of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _migrate(connection: Connection) -> None:
    # Imported where there is something to migrate: it takes a tenth of a start.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('leafstream'))"))
    _check_age(connection, connection.engine.url)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_age(connection: Connection, url: URL) -> None:
    """Raises SetupError for tables that only a newer version knows."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    found = _revision(connection)
    known = {each.revision for each in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if found is not None and found not in known:
        raise SetupError(
            f"the database {_shown(url)} was made by a newer "
            f"leafstream: its tables are of revision {found}, this one knows them up to "
            f"{REVISION}; start the newer version, or set LEAFSTREAM_DATABASE_URL to another one"
        )


async def probe(given: str) -> str:
    """What answers at a database URL, as a person reads it; nothing is migrated or written.

    Raises SetupError where it cannot be reached.
    """
    url = _url(given)
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return _probe_file(url, Path(url.database or ""))
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_check_age, url)
            found = await connection.exec_driver_sql("SELECT version()")
            return str(found.scalar()).split(" on ")[0]
    except (SQLAlchemyError, OSError) as error:
        raise _unusable(url, error) from None
    finally:
        await engine.dispose()


def _probe_file(url: URL, path: Path) -> str:
    if not path.exists():
        parent = next(folder for folder in path.parents if folder.exists())
        if not os.access(parent, os.W_OK):
            raise SetupError(f"{parent} is not writable; set LEAFSTREAM_DATABASE_URL")
        return f"{path}, which the first start makes"
    there = f"file:{quote(str(path))}?mode=rw"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(there, uri=True))
    try:
        with engine.connect() as connection:
            _check_age(connection, url)
    except SQLAlchemyError as error:
        raise _unusable(url, error) from None
    finally:
        engine.dispose()
    return str(path)
