"""Scorers that are loaded from files: the built-in ones' components, and those in other languages with their cases."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Union

import pytest

from softfuse import Exchange, Registry, Score, Scorer, ScorerError, circuit_breaker, quality_below

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(os.environ["SOFTFUSE_PROJECT"])
#: A folder with LANGUAGE/scorer.wasm and LANGUAGE/cases.toml for each: the tests in tests/hosts build them.
LANGUAGES = Path(os.environ["SOFTFUSE_SCORERS"]) if os.environ.get("SOFTFUSE_SCORERS") else None
#: A busy machine is no fault of a scorer's.
SETTINGS: dict[str, Any] = {"start_deadline": 600, "deadline": 60, "memory_bytes_max": 512 << 20}
CASE_KEYS = {"name", "config", "operation", "model", "request", "metadata", "answer"}
EXPECTED_KEYS = {"score", "abstains", "malformed", "fails", "misconfigured"}
TOLERANCE = 1e-9


def components() -> Path:
    """The components that every host is built from."""
    folder = Path(os.environ.get("SOFTFUSE_COMPONENTS") or PROJECT / "target" / "components") / "scorers"
    if not folder.is_dir():
        pytest.fail(f"there is no {folder}: run `cargo run --release -- components target/components`")
    return folder


@pytest.mark.parametrize("name", ["text", "logprobs", "embedding"])
def test_a_component_from_a_file_is_the_built_in_one(name: str) -> None:
    config = "dimension = 2\n" if name == "embedding" else ""
    path = components() / f"{name}.wasm"
    loaded = Scorer.from_file(path, config=config)
    assert loaded.name == name
    answers: list[Any] = ["Paris is the capital of France.", "", "word " * 500, b"\xff", [0.6, 0.8], {"logprobs": [-0.1]}]
    for answer in answers:
        scored = Scorer.builtin(name, config=config).score(answer)
        assert loaded.score(answer) == scored == Scorer.from_bytes(name, path.read_bytes(), config=config).score(answer)


def test_a_component_from_a_file_guards_calls(registry: Registry) -> None:
    @circuit_breaker(
        quality_below(0.5, window=2),
        scorer=Scorer.from_file(components() / "text.wasm"),
        score_before_answer=True,
        fallback="(cached answer)",
        registry=registry,
        name="from a file",
    )
    def ask(text: str) -> str:
        return text

    assert [ask("word " * 500)[:4] for _ in range(3)] == ["word", "word", "(cac"]


def test_scorers_in_other_languages_are_there() -> None:
    if LANGUAGES is None:
        pytest.skip("SOFTFUSE_SCORERS is not set: `cargo test -p softfuse-hosts` builds scorers in other languages, and runs this")
    assert len(languages()) >= 2, languages()


def languages() -> list[str]:
    return [] if LANGUAGES is None else sorted(path.parent.name for path in LANGUAGES.glob("*/scorer.wasm"))


def known(table: dict[str, Any], keys: set[str], what: str) -> None:
    unknown = set(table) - keys
    assert not unknown, f"{what}: there are no keys {unknown}"


def body(given: Union[None, str, dict[str, Any]]) -> tuple[str, bytes, bool]:
    """A case's content: its type, its bytes, and whether it was cut off."""
    if given is None or isinstance(given, str):
        return "", (given or "").encode(), False
    known(given, {"content_type", "text", "bytes", "truncated"}, "a content")
    data = given["text"].encode() if "text" in given else bytes(given["bytes"])
    return given.get("content_type", ""), data, given.get("truncated", False)


def met(case: dict[str, Any], found: Union[Score, ScorerError]) -> bool:
    """Whether a scorer came to what its case expects."""
    ((key, wanted),) = ((key, case[key]) for key in EXPECTED_KEYS if key in case)
    if isinstance(found, ScorerError):
        return key == "misconfigured" and wanted in str(found)
    if key == "score":
        limits = wanted if isinstance(wanted, dict) else {"at_least": wanted, "at_most": wanted}
        known(limits, {"at_least", "at_most"}, "a score")
        least, most = limits.get("at_least", -1e9) - TOLERANCE, limits.get("at_most", 1e9) + TOLERANCE
        return found.score is not None and least <= found.score <= most
    if key == "abstains":
        return found.outcome == "abstained" and wanted in found.reason
    if key == "malformed":
        return found.outcome == "malformed" and wanted in found.reason
    return key == "fails" and found.score is None and found.outcome != "abstained" and wanted in found.reason


@pytest.mark.parametrize("language", languages())
def test_a_scorer_in_another_language_keeps_its_cases(language: str) -> None:
    assert LANGUAGES is not None
    component = LANGUAGES / language / "scorer.wasm"
    file = tomllib.loads((LANGUAGES / language / "cases.toml").read_text("utf-8"))
    known(file, {"config", "case"}, "cases.toml")
    assert len(file["case"]) > 3
    loaded: dict[str, Scorer] = {}
    for case in file["case"]:
        known(case, CASE_KEYS | EXPECTED_KEYS, case["name"])
        config = case.get("config", file.get("config", ""))
        (request_type, request, request_truncated), (answer_type, answer, truncated) = body(case.get("request")), body(case.get("answer"))
        exchange = Exchange(
            answer,
            content_type=answer_type,
            request=request,
            request_content_type=request_type,
            operation=case.get("operation", ""),
            model=case.get("model", ""),
            metadata=case.get("metadata", {}),
            truncated=truncated,
            request_truncated=request_truncated,
        )
        found: Union[Score, ScorerError]
        try:
            if config not in loaded:
                loaded[config] = Scorer.from_file(component, config=config, **SETTINGS)
            found = loaded[config].score(exchange)
        except ScorerError as refused:
            found = refused
        assert met(case, found), (language, case["name"], found)
