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

PROGRAM = """
import sys, threading, time, softfuse
from softfuse import _softfuse, circuit_breaker, consecutive_failures, quality_below

inside = threading.Event()

def stay(*given):
    inside.set()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        time.sleep(.001)

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

own = softfuse.default_registry().breaker("own", softfuse.any_of(Condition(), consecutive_failures(1)))
bad = circuit_breaker(quality_below(.1, window=9), score_fn=lambda answer: .2, replace_below=.5, fallback="good")

places = {
    "a score": lambda: softfuse.report_quality(Stays()),
    "a score function's answer": circuit_breaker(quality_below(.1, window=9), score_fn=lambda answer: Stays())(lambda: 1),
    "a time": lambda: own._core.snapshot(Stays()),
    "a truth": lambda: _softfuse.Registry({"fail_closed": Stays()}),
    "a path": lambda: _softfuse.Scorer.from_file(Stays(), {}),
    "a function's name": lambda: repr(circuit_breaker(consecutive_failures(1), name="repr")(Stays())),
    "an answer that is dropped": bad(lambda: Dropped()),
    "a lookup": lambda: own.reset(),
}
if len(sys.argv) == 1:
    print("\\n".join(places))
else:
    thread = threading.Thread(target=places[sys.argv[1]], daemon=True)
    thread.start()
    assert inside.wait(30)
"""


def test_the_interpreter_ends_within_whatever_is_called() -> None:
    """A daemon thread is in code that no function of the extension's calls by its name: a conversion, a lookup, an object's end."""
    asked = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=DEADLOCK_S)
    places = asked.stdout.splitlines()
    assert len(places) == 8, asked.stderr
    running = {place: subprocess.Popen([sys.executable, "-c", PROGRAM, place], stderr=subprocess.PIPE) for place in places}
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
