"""The scorers of ``examples/scorers``, one in each language, by their own cases: the folder ``SOFTFUSE_SCORERS`` has ``LANGUAGE/scorer.wasm`` and
``LANGUAGE/cases.toml`` of each."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import tomli

from softfuse import Exchange, Scorer, ScorerError

FOLDER = os.environ.get("SOFTFUSE_SCORERS")
LANGUAGES = ["c", "go", "js", "python", "rust"]
#: Generous, since a machine that is busy with other tests is no fault of a scorer's.
BOUNDS: dict[str, Any] = {"deadline": 60, "start_deadline": 120, "instances_max": 1}

pytestmark = pytest.mark.skipif(FOLDER is None, reason="set SOFTFUSE_SCORERS: `cargo test -p softfuse-hosts` does")


def body(given: Any) -> tuple[bytes, str]:
    """A body of a case: its bytes, and their type."""
    if isinstance(given, str):
        return given.encode(), ""
    return given["text"].encode() if "text" in given else bytes(given["bytes"]), given.get("content_type", "")


def exchange(case: dict[str, Any]) -> Exchange:
    answer, content_type = body(case["answer"])
    request, request_content_type = body(case.get("request", ""))
    return Exchange(
        answer,
        content_type=content_type,
        request=request,
        request_content_type=request_content_type,
        operation=case.get("operation", ""),
        model=case.get("model", ""),
        metadata=case.get("metadata", {}),
    )


def check(case: dict[str, Any], scorer: Scorer) -> None:
    found = scorer.score(exchange(case))
    said = f"{case['name']}: {found}"
    if "score" in case:
        wanted = case["score"] if isinstance(case["score"], dict) else {"at_least": case["score"], "at_most": case["score"]}
        assert found.score is not None, said
        assert wanted.get("at_least", -math.inf) - 1e-9 <= found.score <= wanted.get("at_most", math.inf) + 1e-9, said
    elif "abstains" in case:
        assert found.outcome == "abstained" and case["abstains"] in found.reason, said
    elif "malformed" in case:
        assert found.outcome == "malformed" and case["malformed"] in found.reason, said
    else:
        assert found.score is None and found.outcome not in ("abstained", "malformed") and case["fails"] in found.reason, said


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_scorer_says_what_its_cases_want(language: str) -> None:
    assert FOLDER is not None
    folder = Path(FOLDER) / language
    read = tomli.loads((folder / "cases.toml").read_text(encoding="utf-8"))
    scorers: dict[str, Scorer] = {}
    checked = 0
    for case in read["case"]:
        config = case.get("config", read.get("config", ""))
        if "misconfigured" in case:
            with pytest.raises(ScorerError) as raised:
                Scorer.from_file(folder / "scorer.wasm", config, **BOUNDS)
            assert case["misconfigured"] in str(raised.value), case["name"]
        elif isinstance(case["answer"], dict) and case["answer"].get("truncated"):
            # It is this host that cuts, and only what waits beside its call: a caller can't hand in a cut answer.
            continue
        else:
            if config not in scorers:
                scorers[config] = Scorer.from_file(folder / "scorer.wasm", config, **BOUNDS)
            check(case, scorers[config])
        checked += 1
    assert checked >= 10
