"""No thread that the interpreter's end leaves behind is unwound through the extension, whatever of Python's it was called from there."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import softfuse

FRAMES = Path(os.environ["SOFTFUSE_PROJECT"]) / "host/python/src/stay.c"
DEADLOCK_S = 60.0

#: A daemon thread of Python's is in `stay` while the interpreter ends.
PRELUDE = """
import sys, threading, time, softfuse

where = sys.argv[1]
inside = threading.Event()

def stay(*given):
    inside.set()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        time.sleep(.001)

def ends_within(call):
    global thread
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert inside.wait(30)
"""

#: In code that a function of the extension's calls by its name.
HOOKS = """
class Mine:
    def __call__(self, record): stay()
    def reset(self): pass

settings = {
    "call": {},
    "classify": {"classify": lambda answer, error: stay()},
    "score": {"score_fn": lambda answer: stay()},
    "key": {"key": lambda: stay() or "key"},
    "condition": {},
    "callback": {"on_state_change": stay},
    "fallback": {"fallback": stay},
    "exchange": {"scorer": softfuse.Scorer.builtin("text"), "exchange": stay},
}[where]
condition = Mine() if where == "condition" else softfuse.consecutive_failures(1)
condition = softfuse.any_of(condition, softfuse.quality_below(.5, window=9))

@softfuse.circuit_breaker(condition, name="it", **settings)
def call():
    if where in ("callback", "fallback"): raise ConnectionError
    if where == "call": stay()

ends_within(call)
"""

#: In code that none calls by its name: a conversion, a lookup, an object's end.
CONVERSIONS = """
from softfuse import _softfuse, circuit_breaker, consecutive_failures, quality_below

class Stays:
    def __float__(self): stay(); return .5
    def __index__(self): stay(); return 1
    def __bool__(self): stay(); return True
    def __fspath__(self): stay(); return "nowhere"
    def __repr__(self): stay(); return "it"
    def __call__(self): pass

class Dropped:
    def __del__(self): stay()

class Condition:
    def __call__(self, record): return False
    def __getattribute__(self, name):
        if name == "reset" and threading.current_thread() is thread: stay()
        return object.__getattribute__(self, name)
    def reset(self): pass

thread = None
own = softfuse.default_registry().breaker("own", softfuse.any_of(Condition(), consecutive_failures(1)))
bad = circuit_breaker(quality_below(.1, window=9), score_fn=lambda answer: .2, replace_below=.5, fallback="good")

ends_within({
    "score": lambda: softfuse.report_quality(Stays()),
    "score function's answer": circuit_breaker(quality_below(.1, window=9), score_fn=lambda answer: Stays())(lambda: 1),
    "time": lambda: own._core.snapshot(Stays()),
    "truth": lambda: _softfuse.Registry({"fail_closed": Stays()}),
    "path": lambda: _softfuse.Scorer.from_file(Stays(), {}),
    "function's name": lambda: repr(circuit_breaker(consecutive_failures(1), name="repr")(Stays())),
    "answer that is dropped": bad(lambda: Dropped()),
    "lookup": own.reset,
}[where])
"""


@pytest.mark.parametrize(
    ("program", "places"),
    [
        (HOOKS, ("call", "classify", "score", "key", "condition", "callback", "fallback", "exchange")),
        (
            CONVERSIONS,
            ("score", "score function's answer", "time", "truth", "path", "function's name", "answer that is dropped", "lookup"),
        ),
    ],
    ids=["hooks", "conversions"],
)
def test_the_interpreter_ends_within_whatever_is_called(program: str, places: tuple[str, ...]) -> None:
    """It ends by itself, and well, in whatever code of Python's a daemon thread is for longer than anybody waits."""
    running = {
        place: subprocess.Popen([sys.executable, "-c", PRELUDE + program, place], stderr=subprocess.PIPE) for place in places
    }
    for place, process in running.items():
        told = process.communicate(timeout=DEADLOCK_S)[1]
        assert process.returncode == 0, (place, process.returncode, told)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc unwinds a thread that ends")
def test_every_function_has_its_frame() -> None:
    """What the installed extension takes from Python has a frame of C's, or needs none for a reason that was thought about."""
    extension = softfuse._softfuse.__file__
    listed = subprocess.run(["nm", "-D", "--undefined-only", str(extension)], capture_output=True, text=True, check=True)
    taken = set(re.findall(r" U (_?Py\w+)$", listed.stdout, re.MULTILINE))
    # Classes, exceptions and the like are no functions.
    functions = {name for name in taken if not re.search(r"^PyExc_|_Type$|Struct$", name)}
    text = FRAMES.read_text("utf-8")
    wrapped = set(re.findall(r"^WRAP\([^,]+, (\w+)|^WRAP_VOID\((\w+)|__wrap_(Py\w+)\(", text, re.MULTILINE))
    known = {name for names in wrapped for name in names if name} | set(re.findall(r"^PLAIN\((\w+)\)", text, re.MULTILINE))
    assert len(functions) > 50
    assert functions <= known, f"stay.c has neither WRAP nor PLAIN for {sorted(functions - known)}"
