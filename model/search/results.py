"""The results of a search: tokens, hypotheses and the progress of a step. Plain data without torch."""

from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length", "repetition"]
TopTokens = tuple[tuple[int, float], ...]
"""Token ids with their probabilities softmax(Z'W), most probable first."""


class Details(NamedTuple):
    """Details of the step that chose a token, as far as the spec wants them."""

    top_tokens: TopTokens = ()
    alignment: tuple[float, ...] = ()
    """Cross-attention weights over the source tokens."""


NO_DETAILS = Details()


class Token(NamedTuple):
    """A certain token, with the model's own log softmax(Z'W), before any rules."""

    token_id: int
    logprob: float
    details: Details = NO_DETAILS


class Hypothesis(NamedTuple):
    """A finished target: the tokens after the decoder prompt, including the end token if there is one.

    `score` equals that of `transformers` for a beam; otherwise it is the sum of `logprobs` under the length penalty.
    `details`, if the spec wants some, are those of each token. Those of the best hypothesis come with the tokens.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float
    finish_reason: FinishReason
    details: tuple[Details, ...] = ()


class Progress(NamedTuple):
    """The new tokens of one decode. `hypotheses`, best first, are present once it has finished.

    The `tokens` of a decode, joined, are those of its best hypothesis. Without streaming they all come at the end. A
    decode that cannot go on ends with a `problem` instead of hypotheses.
    """

    decode_id: int
    tokens: list[Token]
    hypotheses: tuple[Hypothesis, ...] = ()
    problem: str = ""

    @property
    def is_last(self) -> bool:
        return bool(self.hypotheses or self.problem)
