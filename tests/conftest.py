"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from leafstream.engines.checkpoint import dequantized
from leafstream.engines.weights import WeightOptions, Weights, load, require_extra
from leafstream.errors import SetupError
from leafstream.models.fetch import cache_folder, resolve
from leafstream.sizing import Use

# Several workers share few cores: a thread that waits must not keep the awaited from running.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A small model on two threads takes half as much time again, most of it to wait for the other.
    # torch counts on as many as it asks for, so it must ask for no more than there may be.
    os.environ |= {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}

TORCH = ("tests/contract/test_engines.py", "tests/unit/transformers/")


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Each file to one worker, and all that needs torch to one, which takes seconds to import."""

    def _split_scope(self, nodeid: str) -> str:
        return "torch" if nodeid.startswith(TORCH) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The default model, fetched once into the user's cache."""
    try:
        return resolve("smollm2-135m", cache=cache_folder())
    except SetupError as error:
        pytest.skip(f"the default model is not to be had: {error.message}")


@pytest.fixture(scope="session")
def transformers_extra() -> None:
    """For tests that need torch and transformers."""
    try:
        require_extra()
    except SetupError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def model_folder(transformers_extra: None, model_path: Path) -> Path:
    """The default model in bf16 for transformers, widened once into the user's cache."""
    return dequantized(model_path, cache_folder())


@pytest.fixture(scope="session")
def weights(model_folder: Path) -> Weights:
    """The default model loaded by transformers, once for all engines of a session."""
    return load(model_folder, WeightOptions(), Use(1024, 4))
