"""How long an upstream that cannot answer now is waited for."""

from __future__ import annotations

import msgspec
import pytest

from leafstream.errors import EngineUnavailable
from tests.contract.upstreams import JSON, QUICK, asked, opened
from tests.rude_server import CHAT, Answer, rude_server


async def test_an_upstream_that_stays_ill_is_asked_again_until_the_patience_ends() -> None:
    async with rude_server(Answer(status=503, kind=JSON)) as server:
        engine = await opened(server.url, timeouts=msgspec.structs.replace(QUICK, patience=0.25))
        with pytest.raises(EngineUnavailable, match="answers 503"):
            await asked(engine)
        await engine.close()
        assert server.num_asked(CHAT) == 3  # once at the start, and after 0.1 s once more


@pytest.mark.parametrize("told", ["inf", "nan", "1e999", "soon"])
async def test_a_retry_after_that_is_no_number_of_seconds_is_none(told: str) -> None:
    busy = Answer(status=429, kind=JSON, headers=(f"Retry-After: {told}",))
    async with rude_server(busy) as server:
        engine = await opened(server.url)
        with pytest.raises(EngineUnavailable) as raised:
            await asked(engine)
        await engine.close()
    assert raised.value.retry_after is None
