"""What a search returns: tokens, hypotheses, and the progress of a step. Plain data, nothing of torch."""

from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length", "repetition"]
TopTokens = tuple[tuple[int, float], ...]
"""Token ids with their probabilities, softmax(Z'W), the most probable first."""


class Details(NamedTuple):
    """The details a spec wants of the step that chose a token; empty unless it wants them."""

    top_tokens: TopTokens = ()
    alignment: tuple[float, ...] = ()
    """Cross-attention over the source tokens."""


NO_DETAILS = Details()


class Token(NamedTuple):
    """A token that will stay, with the model's own log softmax(Z'W), before any rules."""

    token_id: int
    logprob: float
    details: Details = NO_DETAILS


class Hypothesis(NamedTuple):
    """A finished target: the tokens after the decoder prompt, with the end token if there is one.

    `score` of a beam is that of `transformers`; otherwise it is the sum of `logprobs` under the same length penalty.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float
    finish_reason: FinishReason


class Progress(NamedTuple):
    """The new tokens of one decode. `hypotheses`, best first, are present once it has finished.

    All `tokens` of a decode, joined, are those of its best hypothesis. Tokens of one that is not streamed all come
    with its end. A decode that cannot go on ends with a `problem` instead of hypotheses.
    """

    decode_id: int
    tokens: list[Token]
    hypotheses: tuple[Hypothesis, ...] = ()
    problem: str = ""

    @property
    def is_last(self) -> bool:
        return bool(self.hypotheses or self.problem)
