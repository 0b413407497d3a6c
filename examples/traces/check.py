"""Checks a recorded trace and prints the figures that README.md quotes: python3 check.py [smollm2.jsonl]

It reads the file as a stranger would, line by line, and stops with status 1 at what isn't as README.md says. Only the
standard library is needed.
"""

import json
import math
import sys
from itertools import groupby
from pathlib import Path

OUTCOMES = {"success", "error", "timeout", "rate-limited", "overloaded", "cancelled", "content-policy", "bad-request"}
ROLLING_CALLS = (10, 20)
BYTES_MAX = 4_000_000


def require(holds, problem):
    if not holds:
        raise ValueError(problem)


def check_line(number, call, previous_end_ms):
    """Raises a ValueError that says what is wrong with a line."""
    require(call["outcome"] in OUTCOMES, f"outcome {call['outcome']!r}")
    require(math.isfinite(call["at_ms"]) and call["at_ms"] >= previous_end_ms - 0.2, "begins before its forerunner ended")
    require(math.isfinite(call["latency_ms"]) and call["latency_ms"] > 0, f"latency_ms {call['latency_ms']}")
    require(call["request"]["messages"][-1]["role"] == "user", "the last message isn't the user's")
    choice = call["response"]["choices"][0]
    tokens = choice["logprobs"]["content"]
    require(choice["finish_reason"] in ("stop", "length"), f"finish_reason {choice['finish_reason']!r}")
    require(len(tokens) == call["response"]["usage"]["completion_tokens"], "a log-probability for every token")
    require(choice["finish_reason"] == "stop" or len(tokens) == call["request"]["max_tokens"], "cut off early")
    for token in tokens:
        best = token["top_logprobs"][0]["logprob"]
        require(token["logprob"] <= best <= 0, f"log-probabilities {token['logprob']} and {best}")
    text = "".join(token["token"] for token in tokens)
    content = choice["message"]["content"]
    # A token may be a piece of a character, and special tokens are named in the list but no part of the text.
    if "\ufffd" not in text + content and "<|" not in text:
        require(text == content, f"the tokens spell {text!r}, the message is {content!r}")


def quantiles(values):
    ordered = sorted(values)
    at = lambda share: ordered[round(share * (len(ordered) - 1))]
    return [sum(values) / len(values)] + [at(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]


def figures(call):
    """What a scorer of log-probabilities sees of a call; None where the answer has no token."""
    logprobs = [token["logprob"] for token in call["response"]["choices"][0]["logprobs"]["content"]]
    if not logprobs:
        return None
    return {"mean token p": math.exp(sum(logprobs) / len(logprobs)), "worst token p": math.exp(min(logprobs))}


def table(title, rows, digits):
    print(f"\n{title}\n{'':28}   n     mean     5 %    25 %    50 %    75 %    95 %")
    for name, values in rows:
        print(f"{name:28} {len(values):3} " + " ".join(f"{value:7.{digits}f}" for value in quantiles(values)))


def rolling(calls, length):
    """The rolling mean of the mean token probability, by where its window lies."""
    scored = [(call["phase"], figures(call)["mean token p"]) for call in calls if figures(call)]
    found = {}
    for end in range(length, len(scored) + 1):
        phases = [phase for phase, _ in scored[end - length : end]]
        if phases[0] == phases[-1]:
            found.setdefault(phases[0], []).append(sum(p for _, p in scored[end - length : end]) / length)
    return found


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("smollm2.jsonl")
    calls, previous_end_ms = [], 0.0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            call = json.loads(line)
            check_line(number, call, previous_end_ms)
        except (KeyError, IndexError, TypeError, ValueError) as problem:
            sys.exit(f"{path}:{number}: {type(problem).__name__}: {problem}")
        previous_end_ms = call["at_ms"] + call["latency_ms"]
        calls.append(call)
    size = path.stat().st_size
    if size > BYTES_MAX:
        sys.exit(f"{path}: {size} bytes, and at most {BYTES_MAX} are wanted")
    print(f"{len(calls)} calls in {previous_end_ms / 1000:.1f} s, {size} bytes")

    first = 1
    for phase, group in groupby(calls, key=lambda call: call["phase"]):
        group = list(group)
        lengths = sum(call["response"]["choices"][0]["finish_reason"] == "length" for call in group)
        empty = sum(figures(call) is None for call in group)
        wanted = [call for call in group if "response_format" in call["request"]]
        valid = sum(is_json(call["response"]["choices"][0]["message"]["content"]) for call in wanted)
        end_s = (group[-1]["at_ms"] + group[-1]["latency_ms"]) / 1000
        print(f"lines {first}-{first + len(group) - 1}: {phase}, {group[0]['at_ms'] / 1000:.1f}-{end_s:.1f} s; "
              f"{lengths} cut off at max_tokens, {empty} empty, {valid} of {len(wanted)} JSON answers valid")
        first += len(group)

    kinds = list(dict.fromkeys((call["phase"], call["damage"]) for call in calls))
    groups = [(phase, [c for c in calls if c["phase"] == phase]) for phase in dict.fromkeys(p for p, _ in kinds)]
    groups += [(f"  {phase}: {kind}", [c for c in calls if (c["phase"], c["damage"]) == (phase, kind)])
               for phase, kind in kinds if kind != "none"]
    for measure in ("mean token p", "worst token p"):
        table(measure, [(name, [figures(c)[measure] for c in group if figures(c)]) for name, group in groups], 4)
    table("latency_ms", [(name, [c["latency_ms"] for c in group]) for name, group in groups], 0)
    table("tokens", [(name, [c["response"]["usage"]["completion_tokens"] for c in group]) for name, group in groups], 0)
    for length in ROLLING_CALLS:
        print(f"\nrolling mean of mean token p over {length} calls, windows wholly inside a phase")
        found = rolling(calls, length)
        for phase, values in found.items():
            print(f"{phase:28} from {min(values):.4f} to {max(values):.4f}")
        degraded = max(found.get("degraded", [math.inf]))
        if not all(degraded < min(values) for phase, values in found.items() if phase != "degraded"):
            sys.exit(f"{path}: the rolling mean over {length} calls doesn't tell the degraded phase from the others")


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


main()
