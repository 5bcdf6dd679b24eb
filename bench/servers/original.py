"""What the chatbot did before leafstream: an SSE event a token, through regexes, as JSON.

    python -m bench.servers.original PORT TOKENS.json

FastAPI, sse-starlette, four substitutions on every token, json.dumps of a dict: the way of the
server that this project replaces, less its model.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

TOKENS: list[str] = json.loads(Path(sys.argv[2]).read_text())
app = FastAPI()


def cleaned(token: str) -> str:
    token = re.sub(r'[“”"]', "", token)
    token = re.sub(r"[{}\[\]]", "", token)
    token = re.sub(r"(recommend|challenges|title|description)\s*:", "", token)
    return re.sub(r",\s*$", "", token)


@app.post("/v1/answers")
async def answer() -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        whole = ""
        for token in TOKENS:
            whole += token
            data = {"status": 200, "message": "토큰 생성", "data": cleaned(token)}
            yield {"event": "challenge", "data": json.dumps(data, ensure_ascii=False)}
        data = {"status": 200, "message": "완료", "data": json.loads(whole)}
        yield {"event": "close", "data": json.dumps(data, ensure_ascii=False)}

    return EventSourceResponse(events())


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
