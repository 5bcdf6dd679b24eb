"""What C libraries write to standard error, in processes of their own that also die."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from leafstream.stderr import RECORDED
from tests.nursery import nursery
from tests.operating import machine

C_WRITES = """
import ctypes, faulthandler, logging, os, sys
from leafstream.reporting import set_up_logging
from leafstream.settings import Settings
from leafstream.stderr import recorded

C = ctypes.CDLL(None)

def say(line):
    C.write(2, line, len(line))

settings = Settings(log_format="json")
set_up_logging(settings)
"""


SERVED = """
import ctypes
from fastapi import APIRouter
from leafstream import Assistant
from leafstream.faces.face import Face

chat = Assistant(instructions="Be brief.")
router = APIRouter()
face = Face(lambda parts: router)

@router.post("/assert")
async def fail():
    C = ctypes.CDLL(None)
    C.write(2, b"GGML_ASSERT(n > 0) failed\\n", 26)
    C.abort()
"""


class Died(msgspec.Struct, frozen=True):
    code: int
    lines: list[str]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def raw(self) -> list[str]:
        return [line for line in self.lines if not line.startswith("{")]


def died(script: str, **environment: str) -> Died:
    """How a process ended that ran C_WRITES and `script`, and what it said."""
    paths = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = nursery().run(C_WRITES + script, environment={**paths, **environment}, folder=Path.cwd())
    return Died(done.code, done.err.splitlines())


def test_a_line_of_a_c_library_is_a_record_beside_those_of_the_log() -> None:
    told = died("""
with recorded("json"):
    say(b"0.00.001.171 W load: a key is missing\\n")
    say(b"half a ")
    logging.getLogger("leafstream.server").info("serving")
    print("for people", file=sys.stderr)
    say("줄\\n".encode())
""")
    assert told.code == 0
    assert {(r["level"], r["logger"], r["message"]) for r in told.records} == {
        ("warning", "leafstream.llamacpp", "load: a key is missing"),
        ("info", "leafstream.stderr", "half a 줄"),
        ("info", "leafstream.server", "serving"),
    }
    assert told.raw == ["for people"]


@pytest.mark.parametrize("end", ["C.abort()", "os.kill(os.getpid(), 9)", "os._exit(3)"])
def test_what_a_library_says_before_its_process_dies_is_not_lost(end: str) -> None:
    told = died(f"""
with recorded("json"):
    say(b"GGML_ASSERT(n > 0) failed\\n")
    {end}
""")
    assert told.code != 0
    assert [r["message"] for r in told.records] == ["GGML_ASSERT(n > 0) failed"]
    assert told.raw == []


def test_a_crashs_traceback_stays_on_the_real_standard_error() -> None:
    told = died("""
faulthandler.enable()
with recorded("json"):
    say(b"last words\\n")
    C.abort()
""")
    assert [r["message"] for r in told.records] == ["last words"]
    assert "Fatal Python error: Aborted" in told.raw


def test_standard_error_is_what_it_was_when_the_context_closes() -> None:
    told = died("""
real = sys.stderr, os.fstat(2).st_ino
with recorded("json"):
    assert os.fstat(2).st_ino != real[1]
    assert sys.stderr is not real[0]
assert (sys.stderr, os.fstat(2).st_ino) == real
logging.getLogger("leafstream.server").info("still heard")
say(b"raw\\n")
""")
    assert told.code == 0, told.lines
    assert [r["message"] for r in told.records] == ["still heard"]
    assert told.raw == ["raw"]


def test_lines_that_a_supervisor_records_are_left_to_it() -> None:
    told = died('with recorded("json"):\n    say(b"raw\\n")', **{RECORDED: "1"})
    assert told.raw == ["raw"]
    assert told.records == []


def test_a_server_whose_engine_aborts_says_why_in_its_log(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "aborting.py").write_text(SERVED)
    model = {"LEAFSTREAM_MODEL": str(model_path), "LEAFSTREAM_LOG_FORMAT": "json"}
    with machine(tmp_path, **model) as here:
        with here.popen("serve", "aborting.py", "--port", "0") as server:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["message"].split()[-1]
            with pytest.raises(httpx2.TransportError):
                httpx2.post(f"{url}/assert", trust_env=False)
            rest = [json.loads(line) for line in server.stdout]
        assert server.returncode < 0
    told = {(record["logger"], record["message"]) for record in rest}
    assert ("leafstream.stderr", "GGML_ASSERT(n > 0) failed") in told
