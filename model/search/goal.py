"""The end of one decode, and its tokens so far. Plain data without torch."""

from dataclasses import dataclass, field

from model.checkpoint.generation_config import EarlyStopping, GenerationConfig
from model.search.repetition import is_looping, longest_loop
from model.search.results import NO_DETAILS, Details, FinishReason, Hypothesis, Token
from model.search.spec import DecodeSpec

TARGET_LOOP_FACTOR = 2
"""A translation has up to so many times the tokens of its source."""


@dataclass(slots=True)
class Target:
    """The tokens after the decoder prompt. `details` stays empty unless the spec wants some."""

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

    def finished(self, score: float, reason: FinishReason, *, with_details: bool = False) -> Hypothesis:
        details = tuple(self.details) if with_details else ()
        return Hypothesis(tuple(self.token_ids), tuple(self.logprobs), score, reason, details)


class Goal:
    """The rules for ending and scoring a decode, from its spec and, where the spec is open, from the checkpoint.

    `length` counts all decoder tokens so far, like the checkpoint's rules.
    """

    __slots__ = (
        "_source_loop",
        "early_stopping",
        "eos_token_id",
        "forces_eos",
        "length",
        "length_penalty",
        "max_length",
        "prompt_length",
        "spec",
    )

    def __init__(self, spec: DecodeSpec, generation: GenerationConfig, *, eos_token_id: int) -> None:
        """Raises ValueError if the prompt leaves no room for a token."""
        prompt = len(spec.decoder_prompt)
        if prompt >= generation.max_length:
            raise ValueError(f"decoder_prompt has {prompt} tokens, max_length is {generation.max_length}")
        self.spec = spec
        self._source_loop: int | None = None  # counted once it is needed
        self.prompt_length = self.length = prompt
        self.max_length = min(prompt + spec.max_new_tokens, generation.max_length)
        self.eos_token_id = eos_token_id
        self.forces_eos = generation.forced_eos_token_id is not None
        penalty, stopping = spec.length_penalty, spec.early_stopping
        self.length_penalty = generation.length_penalty if penalty is None else penalty
        self.early_stopping: EarlyStopping = generation.early_stopping if stopping is None else stopping

    def normalized(self, score: float, length: int) -> float:
        """`score` under the length penalty of a target that ends at `length`."""
        return float(score / (length - self.spec.num_uncounted_tokens) ** self.length_penalty)

    def finish_reason(self, token_ids: list[int]) -> FinishReason | None:
        """Why a target ends with the last of `token_ids`, which makes it `length` long; None if it goes on."""
        is_last = self.length + 1 >= self.max_length
        # An end token that was forced is due to the limit, not to the model.
        if token_ids[-1] == self.eos_token_id and not (is_last and self.forces_eos):
            return "stop"
        if is_last:
            return "length"
        if self.spec.repetition_guard and is_looping(token_ids) and self._exceeds_source(token_ids):
            return "repetition"
        return None

    def _exceeds_source(self, token_ids: list[int]) -> bool:
        """Whether the tokens loop for longer than a translation of what the source repeats might."""
        if self._source_loop is None:
            self._source_loop = longest_loop(self.spec.source_ids)
        return is_looping(token_ids, more=TARGET_LOOP_FACTOR * self._source_loop)
