"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafstream.errors import SetupError
from leafstream.models.fetch import cache_folder, resolve


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model, fetched once into the user's cache."""
    try:
        return resolve("smollm2-135m", cache=cache_folder())
    except SetupError as error:
        pytest.skip(f"the default model is not to be had: {error.message}")
