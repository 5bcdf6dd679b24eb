"""The start of a server: the model loads while the rest of the house is imported and opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from leafstream.engine_choice import open_engine
from leafstream.models.fetch import Progress
from leafstream.port import check_exposure, held_socket
from leafstream.reload import Reload
from leafstream.served import Served
from leafstream.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType


def run(
    settings: Settings,
    served: Served,
    progress: Progress | None = None,
    reload: Reload | None = None,
) -> None:
    """Serve until a signal, on the fastest loop there is. Raises SetupError."""
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        runner.run(_serve(settings, served, progress, reload))


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


async def _serve(
    settings: Settings, served: Served, progress: Progress | None, reload: Reload | None
) -> None:
    check_exposure(settings)
    with held_socket(settings) as listener:
        loading = asyncio.ensure_future(open_engine(settings, progress))
        server = await asyncio.to_thread(_import_server)
        await server.serve(listener, settings, served, loading, reload)


def _import_server() -> ModuleType:
    # FastAPI and SQLAlchemy take half as long to import as a small model to load. That is C code
    # without the interpreter's lock, so both are done at once; nothing imported before this point
    # may need them.
    from leafstream import server  # noqa: PLC0415

    return server
