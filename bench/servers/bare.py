"""The least that a Starlette stream can do: write bytes that are ready, an event a token.

python -m bench.servers.bare PORT TOKENS.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

TOKENS: list[str] = json.loads(Path(sys.argv[2]).read_text())
FRAMES = [
    b"id: %d\nevent: text\ndata: %b\n\n"
    % (n, json.dumps({"path": "/said", "text": token}, ensure_ascii=False).encode())
    for n, token in enumerate(TOKENS)
]


async def answer(_: Request) -> StreamingResponse:
    async def frames() -> AsyncIterator[bytes]:
        for frame in FRAMES:
            yield frame

    return StreamingResponse(frames(), media_type="text/event-stream")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/answers", answer, methods=["POST"])])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
