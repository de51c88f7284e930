"""What is asked of a search and what it answers: plain data, and the rule that tells a loop. Nothing of torch."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, NamedTuple

from model.checkpoint.generation_config import MAX_LENGTH_PENALTY, EarlyStopping, GenerationConfig

FinishReason = Literal["stop", "length", "repetition"]
TopTokens = tuple[tuple[int, float], ...]
"""Token ids with their probabilities, softmax(Z'W), the most probable first."""

MAX_BEAM_SIZE = 32
MAX_LOOP_NGRAM = 8
MIN_LOOP_REPEATS = 4
MIN_LOOP_TOKENS = 16
_LOOP_SPANS = tuple((n, max(MIN_LOOP_REPEATS * n, MIN_LOOP_TOKENS)) for n in range(1, MAX_LOOP_NGRAM + 1))


@dataclass(frozen=True, slots=True)
class Sampling:
    """Draw each token from softmax(logits / temperature), cut to `top_k` tokens and then to the nucleus `top_p`.

    `seed` (any integer, of which 64 bits count) decides all draws of a sequence, whatever else is in the batch.
    """

    seed: int
    temperature: float = 1.0
    top_k: int = 0
    """0: all tokens."""
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature}, not a positive number")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}, less than 0")
        if not 0 <= self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, not between 0 and 1")


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One sequence: greedy, sampled, or with `beam_size` > 1 a beam search, which takes as many rows.

    `decoder_prompt` is all that the decoder is given: start token, language token, and the prefix if one is forced.
    A target ends after `max_new_tokens` tokens, the end token included, and in any case at the checkpoint's
    `max_length`; the checkpoint's lengths count the prompt too.
    Requests that differ in their `sequence_id` only are equal: they have the same answer.
    The length penalty divides a score by the number of tokens after the first `num_uncounted_tokens`, to that power.
    `transformers` does not count the `decoder_input_ids` it is handed: with 1, the default, that is the start token
    alone, and scores are those of a call that forces the language token; with `len(decoder_prompt)` they are those of
    a call that is handed all of it.
    """

    sequence_id: int = field(compare=False)
    decoder_prompt: tuple[int, ...]
    max_new_tokens: int
    beam_size: int = 1
    num_hypotheses: int = 1
    length_penalty: float | None = None
    """None, here and below: the checkpoint's."""
    early_stopping: EarlyStopping | None = None
    sampling: Sampling | None = None
    repetition_guard: bool = True
    num_top_tokens: int = 0
    with_alignment: bool = False
    num_uncounted_tokens: int = 1

    @property
    def wants_details(self) -> bool:
        return self.with_alignment or self.num_top_tokens > 0

    def __post_init__(self) -> None:
        if not self.decoder_prompt:
            raise ValueError("decoder_prompt is empty")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}, less than 1")
        if not 1 <= self.beam_size <= MAX_BEAM_SIZE:
            raise ValueError(f"beam_size is {self.beam_size}, not between 1 and {MAX_BEAM_SIZE}")
        if not 1 <= self.num_hypotheses <= self.beam_size:
            raise ValueError(f"num_hypotheses is {self.num_hypotheses}, not between 1 and beam_size {self.beam_size}")
        if self.length_penalty is not None and not abs(self.length_penalty) <= MAX_LENGTH_PENALTY:
            raise ValueError(f"length_penalty is {self.length_penalty}, not within ±{MAX_LENGTH_PENALTY}")
        if self.sampling is not None and self.beam_size > 1:
            raise ValueError("sampling goes with a beam_size of 1 only")
        if self.num_top_tokens < 0:
            raise ValueError(f"num_top_tokens is {self.num_top_tokens}, less than 0")
        if not 0 <= self.num_uncounted_tokens <= len(self.decoder_prompt):
            raise ValueError(f"num_uncounted_tokens is {self.num_uncounted_tokens}, more than the prompt has")


class Details(NamedTuple):
    """What a request asked to know about the step that chose a token; empty where it did not."""

    top_tokens: TopTokens = ()
    alignment: tuple[float, ...] = ()
    """Cross-attention over the source tokens, and zeros over what padding the batch had after them."""


NO_DETAILS = Details()


class Token(NamedTuple):
    """A token that will stay, with the model's own log softmax(Z'W), whatever the rules made of it."""

    token_id: int
    logprob: float
    details: Details = NO_DETAILS


class Hypothesis(NamedTuple):
    """A finished target: what follows the decoder prompt, with the end token when there is one.

    `score` of a beam is that of `transformers`; otherwise it is the sum of `logprobs`, the length penalty applied in
    the same way.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float
    finish_reason: FinishReason


class Progress(NamedTuple):
    """What one step brought to one sequence. `hypotheses`, best first, are there once it has finished.

    All `tokens` of a sequence, joined, are those of its best hypothesis.
    """

    sequence_id: int
    tokens: list[Token]
    hypotheses: tuple[Hypothesis, ...] = ()


@dataclass(slots=True)
class Target:
    """What was said after the decoder prompt. `details` stays empty unless some are asked for."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    details: list[Details] = field(default_factory=list)

    def extended(self, token_id: int, logprob: float, details: Details | None) -> "Target":
        """A copy with one more token."""
        all_details = self.details if details is None else [*self.details, details]
        return Target([*self.token_ids, token_id], [*self.logprobs, logprob], all_details)

    def append(self, token_id: int, logprob: float, details: Details | None) -> Token:
        self.token_ids.append(token_id)
        self.logprobs.append(logprob)
        if details is not None:
            self.details.append(details)
        return Token(token_id, logprob, details or NO_DETAILS)

    def token(self, index: int) -> Token:
        details = self.details[index] if self.details else NO_DETAILS
        return Token(self.token_ids[index], self.logprobs[index], details)

    def finished(self, score: float, reason: FinishReason) -> Hypothesis:
        return Hypothesis(tuple(self.token_ids), tuple(self.logprobs), score, reason)


class Goal:
    """Where one sequence has to go, as one `generation_config.json` and its request have it.

    `length` counts all decoder tokens so far, as the checkpoint's rules do.
    """

    __slots__ = (
        "early_stopping",
        "eos_token_id",
        "forces_eos",
        "length",
        "length_penalty",
        "max_length",
        "prompt_length",
        "request",
    )

    def __init__(self, request: SearchRequest, generation: GenerationConfig, *, eos_token_id: int) -> None:
        """Raises ValueError where the prompt leaves no room for a token."""
        prompt = len(request.decoder_prompt)
        if prompt >= generation.max_length:
            raise ValueError(f"decoder_prompt has {prompt} tokens, max_length is {generation.max_length}")
        self.request = request
        self.prompt_length = self.length = prompt
        self.max_length = min(prompt + request.max_new_tokens, generation.max_length)
        self.eos_token_id = eos_token_id
        self.forces_eos = generation.forced_eos_token_id is not None
        penalty, stopping = request.length_penalty, request.early_stopping
        self.length_penalty = generation.length_penalty if penalty is None else penalty
        self.early_stopping: EarlyStopping = generation.early_stopping if stopping is None else stopping

    def normalized(self, score: float, length: int) -> float:
        """`score` under the length penalty of a target that ends at `length`."""
        return float(score / (length - self.request.num_uncounted_tokens) ** self.length_penalty)

    def finish_reason(self, token_ids: list[int]) -> FinishReason | None:
        """Why a target ends with the last of `token_ids`, the one at place `length`, if it does."""
        is_last = self.length + 1 >= self.max_length
        # A forced end-of-sequence token is the limit's doing, not the model's.
        if token_ids[-1] == self.eos_token_id and not (is_last and self.forces_eos):
            return "stop"
        if is_last:
            return "length"
        if self.request.repetition_guard and is_looping(token_ids):
            return "repetition"
        return None


def is_looping(token_ids: list[int]) -> bool:
    """Whether the tokens end in an n-gram (n <= 8) said at least 4 times over, and over at least 16 tokens."""
    for n, span in _LOOP_SPANS:
        if len(token_ids) < span:
            return False
        if token_ids[-1] == token_ids[-1 - n] and token_ids[-span:-n] == token_ids[n - span :]:
            return True
    return False
