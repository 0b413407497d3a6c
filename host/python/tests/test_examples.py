"""The examples, as their users run them: with the installed package."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import pytest

PROJECT = Path(os.environ["SOFTFUSE_PROJECT"])
EXAMPLES = PROJECT / "examples"
START_S = 60


def test_quickstart() -> None:
    program = EXAMPLES / "quickstart" / "python" / "quickstart.py"
    done = subprocess.run([sys.executable, str(program)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == (EXAMPLES / "quickstart" / "expected.txt").read_bytes()


def test_the_readmes_quickstart_is_the_example() -> None:
    readme = (PROJECT / "host" / "python" / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n## Quickstart\n")[1].split("\n## ")[0]
    shown = section.split("```python\n")[1].split("```")[0]
    program = (EXAMPLES / "quickstart" / "python" / "quickstart.py").read_text(encoding="utf-8")
    assert shown == program.split('"""\n\n', 1)[1]


def test_the_readmes_other_code_runs() -> None:
    """Each block by itself, after what it takes for granted."""
    readme = (PROJECT / "host" / "python" / "README.md").read_text(encoding="utf-8")
    sections = readme.split("\n## ")
    blocks = [
        (section.splitlines()[0], block.split("```")[0])
        for section in sections
        if not section.startswith("Quickstart")
        for block in section.split("```python\n")[1:]
    ]
    assert len(blocks) >= 6
    for section, block in blocks:
        program = "import asyncio\n" + block
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=PROJECT)
        assert done.returncode == 0, f"{section}:\n{block}\n{done.stderr}"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=EXAMPLES / "fastapi")
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "the service doesn't start"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def ask(url: str, data: Any = None) -> tuple[int, dict[str, str], str]:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, dict(response.headers), response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def test_fastapi(service: str) -> None:
    def chat(tenant: str, prompt: str) -> tuple[int, dict[str, str], str]:
        return ask(f"{service}/chat", {"tenant": tenant, "prompt": prompt})

    status, _, body = chat("acme", "hello")
    assert status == 200 and "You said: hello" in json.loads(body)["answer"]
    status, _, body = ask(f"{service}/health")
    assert status == 200 and json.loads(body)["status"] == "healthy"
    # Empty answers: 200s, all of them. The scorer sees what they are worth.
    deadline = time.monotonic() + START_S
    while True:
        status, headers, body = chat("acme", "nonsense")
        if status == 503:
            break
        assert status == 200 and time.monotonic() < deadline
    assert 1 <= int(headers["retry-after"]) <= 30 and "quality" in json.loads(body)["error"]
    status, _, body = ask(f"{service}/health")
    page = json.loads(body)
    assert status == 503 and page["status"] == "unhealthy", page
    assert {circuit["name"]: circuit["state"] for circuit in page["circuits"]} == {"provider": "open"}
    status, headers, body = ask(f"{service}/metrics")
    assert status == 200 and headers["content-type"].startswith("application/openmetrics-text")
    assert 'softfuse_state{breaker="provider"} 1' in body
