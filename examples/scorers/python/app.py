"""Scores answers by whether they are in the language that they should be in.

Models that drift switch languages in mid-conversation, and each such answer is a 200. The language is told by ``langdetect``, a library of pure Python:
the one that is wanted is the configuration's, or else the request's own.
"""

import json
import random
import tomllib
from types import SimpleNamespace

import langdetect.detector
from componentize_py_types import Err
from langdetect import PROFILES_DIRECTORY, DetectorFactory
from langdetect.lang_detect_exception import LangDetectException
from wit_world import exports
from wit_world.exports import scorer
from wit_world.exports.scorer import Body, ConfigProblem, Exchange, ScoreError_Malformed, Verdict_Abstain, Verdict_Score

# The library gives its draws a seed before it makes them, but begins with one of the system's, and a scorer has no randomness.
langdetect.detector.random = SimpleNamespace(Random=lambda: random.Random(0))

# What the component has in its memory when it is built, so that it reads no file when it runs: what the languages look like.
FACTORY = DetectorFactory()
FACTORY.load_profile(PROFILES_DIRECTORY)
# Draws would differ from call to call.
FACTORY.set_seed(0)

LANGUAGES = frozenset(FACTORY.get_lang_list())
KEYS = {"language": str, "shortest": int}

# What is looked at of a text: a language shows long before that.
CHARACTERS_MAX = 2_000
# Fewer letters say little of their language.
SHORTEST = 20


class Settings:
    """The configuration: TOML."""

    def __init__(self, text: str) -> None:
        problems: list[ConfigProblem] = []
        try:
            read = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Err([ConfigProblem("", f"this is no TOML: {error}")]) from None
        for key, value in read.items():
            if key not in KEYS:
                problems.append(ConfigProblem(key, f"there is no such key; there are {', '.join(KEYS)}"))
            elif type(value) is not KEYS[key]:
                problems.append(ConfigProblem(key, f"{value!r} is none of type {KEYS[key].__name__}"))
        #: What answers should be in: ISO 639-1, as in ``en``. None: what the request is in.
        self.language: str | None = read.get("language")
        #: Letters of a text below which nothing is said of its language.
        self.shortest: int = read.get("shortest", SHORTEST)
        if not problems:
            if self.language is not None and self.language not in LANGUAGES:
                problems.append(ConfigProblem("language", f"{self.language!r} is none of {', '.join(sorted(LANGUAGES))}"))
            if not 1 <= self.shortest <= 1_000:
                problems.append(ConfigProblem("shortest", f"{self.shortest} is none of 1 to 1000"))
        if problems:
            raise Err(problems)


def languages_of(text: str, shortest: int) -> dict[str, float]:
    """The languages that a text may be in, with their probabilities; none where it has too few letters."""
    if sum(map(str.isalpha, text)) < shortest:
        return {}
    detector = FACTORY.create()
    detector.append(text[:CHARACTERS_MAX])
    try:
        return {found.lang: found.prob for found in detector.get_probabilities()}
    except LangDetectException:
        return {}


def strings(value: object) -> list[str]:
    """What people wrote in a JSON value: the last message's content where there are messages, and else every string but its keys."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    if isinstance(value, dict):
        if isinstance(messages := value.get("messages"), list) and messages:
            return strings(messages[-1])
        if "content" in value:
            return strings(value["content"])
        return [text for one in value.values() for text in strings(one)]
    return []


def text_of(body: Body) -> str | None:
    """A body's text; None where it is none."""
    kind = body.content_type.partition(";")[0].strip()
    text = bytes(body.bytes).decode("utf-8", "replace")
    if kind == "" or kind.startswith("text/"):
        return text
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return "\n".join(strings(json.loads(text)))
        except ValueError as error:
            raise Err(ScoreError_Malformed(f"it says that it is JSON, and isn't: {error}")) from None
        except RecursionError:
            raise Err(ScoreError_Malformed("the JSON is nested too deeply")) from None
    return None


SETTINGS = Settings("")


class Scorer(exports.Scorer):
    """What hosts call."""

    def configure(self, config: str) -> None:
        global SETTINGS
        SETTINGS = Settings(config)

    def score(self, exchange: Exchange) -> scorer.Verdict:
        answer = text_of(exchange.answer)
        if answer is None:
            return Verdict_Abstain(f"answers of the type {exchange.answer.content_type} are no text")
        found = languages_of(answer, SETTINGS.shortest)
        if not found:
            return Verdict_Abstain("the answer is too short to tell its language")
        if SETTINGS.language is not None:
            return Verdict_Score(found.get(SETTINGS.language, 0.0))
        request = text_of(exchange.head.request)
        wanted = languages_of(request, SETTINGS.shortest) if request else {}
        if not wanted:
            return Verdict_Abstain("the request doesn't tell its language; `language` in the configuration would")
        # How likely it is that both are in one language.
        return Verdict_Score(min(1.0, sum(share * found.get(language, 0.0) for language, share in wanted.items())))
