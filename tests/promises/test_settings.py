"""A generation setting does what it says or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.house import ASK_PAIR, house


@pytest.mark.parametrize(
    ("setting", "param"),
    [
        ({"do_sample": False, "temperature": 0.7}, "temperature"),
        ({"do_sample": True, "temperature": 0}, "do_sample"),
        ({"num_beams": 4}, "num_beams"),
        ({"early_stopping": True}, "early_stopping"),
        ({"use_cache": False}, "use_cache"),
        ({"max_tokens": 50, "max_new_tokens": 60}, "max_new_tokens"),
    ],
)
async def test_a12_a_setting_without_effect_is_refused_by_name(
    tmp_path: Path, setting: dict[str, Any], param: str
) -> None:
    async with house(tmp_path) as served:
        response = await served.http.post("/v1/answers", json={**ASK_PAIR, **setting})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param
