"""Scores answers by how many words they have: a beginning, to be replaced by your own idea of a good answer."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.scorer import ConfigProblem, Exchange, Verdict, Verdict_Abstain, Verdict_Score

# Words of a whole answer, where the configuration says nothing else.
WORDS_DEFAULT = 20

words_wanted = WORDS_DEFAULT


class Scorer(exports.Scorer):
    """What hosts call."""

    def configure(self, config: str) -> None:
        global words_wanted
        text = config.strip()
        if text and not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
            raise Err([ConfigProblem("", f"`{text}` is none: a number of words is wanted, as in 20")])
        words_wanted = int(text or WORDS_DEFAULT)

    def score(self, exchange: Exchange) -> Verdict:
        kind = exchange.answer.content_type
        if kind and not kind.startswith("text/"):
            return Verdict_Abstain(f"an answer of the type {kind} has no words")
        words = bytes(exchange.answer.bytes).decode("utf-8", "replace").split()
        return Verdict_Score(min(1.0, len(words) / words_wanted))
