#!/usr/bin/env python3
"""All tests of the Python host, in one command: ``python3 host/python/test.py``.

It builds the wheel, installs it into a fresh environment with the pinned tools of ``tests/requirements.txt``, copies the tests away from
the source tree, and runs them against the installed package: pytest, then mypy over the package and a consumer, and the stub against the extension.

``--wheel FILE`` tests a wheel that is built already; ``--profile NAME`` builds with another cargo profile than ``release``. What follows ``--``
goes to pytest. It needs cargo, the ``wasm32-wasip2`` target and a C compiler (see CONTRIBUTING.md), Python 3.10 or newer, and the
components in the folder that ``SOFTFUSE_COMPONENTS`` names, or in ``target/components``: ``cargo run --release -- components target/components``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent


def run(*command: object, **options: object) -> None:
    """Runs a command; the first that fails ends the run with its exit code."""
    print("+", *command, flush=True)
    done = subprocess.run([str(part) for part in command], **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(done.returncode)


def environment(folder: Path) -> Path:
    """A fresh environment with the pinned tools: its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--requirement", HERE / "tests" / "requirements.txt")
    return python


def build(python: Path, folder: Path, profile: str) -> Path:
    """The wheel, built by maturin."""
    options = ["--release"] if profile == "release" else ["--profile", profile]
    run(python, "-m", "maturin", "build", "--locked", *options, "--out", folder, cwd=HERE)
    return next(folder.glob("softfuse-*.whl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="test this wheel instead of building one")
    parser.add_argument("--profile", default="release", help="cargo profile of the wheel (release)")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="softfuse-python-") as temporary:
        folder = Path(temporary)
        python = environment(folder / "venv")
        wheel = given.wheel.resolve() if given.wheel else build(python, folder / "wheels", given.profile)
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
        # Away from the source tree, so that nothing but the installed package is tested.
        tests = folder / "tests"
        shutil.copytree(HERE / "tests", tests)
        shutil.copy(HERE / "pyproject.toml", folder)
        settings = {**os.environ, "SOFTFUSE_PROJECT": str(PROJECT), "SOFTFUSE_CACHE_DIR": str(folder / "cache")}
        settings["PYTHONDONTWRITEBYTECODE"] = "1"
        run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *given.pytest, cwd=tests, env=settings)
        if not given.pytest:
            run(python, "-m", "mypy", "--strict", "--package", "softfuse", cwd=tests, env=settings)
            run(python, "-m", "mypy", "--strict", "consumer.py", cwd=tests, env=settings)
            # What the stub says of the extension, against the extension.
            run(python, "-m", "mypy.stubtest", "softfuse", cwd=tests, env=settings)


if __name__ == "__main__":
    main()
