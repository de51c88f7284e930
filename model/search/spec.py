"""`DecodeSpec`: everything that decides the result of a decode. Plain data without torch."""

from dataclasses import dataclass, field
from math import isfinite

from model.checkpoint.generation_config import MAX_LENGTH_PENALTY, EarlyStopping

MAX_BEAM_SIZE = 32
MIN_TEMPERATURE = 0.01
MAX_TEMPERATURE = 100.0
"""Beyond these bounds, logits over the temperature under- or overflow float32, or all tokens become equally likely."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Draw each token from softmax(logits / temperature), cut to `top_k` tokens and then to the nucleus `top_p`.

    `seed` (64 bits, signed) decides all draws of a sequence, regardless of the rest of the batch.
    """

    seed: int
    temperature: float = 1.0
    top_k: int = 0
    """0: all tokens."""
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}, not a signed 64-bit number")
        if not (isfinite(self.temperature) and MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE):
            raise ValueError(f"temperature is {self.temperature}, not between {MIN_TEMPERATURE} and {MAX_TEMPERATURE}")
        if not 0 <= self.top_k < 2**31:
            raise ValueError(f"top_k is {self.top_k}, not between 0 and {2**31 - 1}")
        if not 0 <= self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, not between 0 and 1")


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """One source into one target: greedy, sampled, or for `beam_size` > 1 a beam search in `beam_size` rows.

    A spec is hashable and has no id. Draws are seeded, so equal specs have the same result, and share one decode while
    it is in flight.

    `decoder_prompt` holds the start token, the language token and the prefix if one is forced.
    A target ends after `max_new_tokens` tokens, end token included, or at the checkpoint's `max_length`, whichever
    comes first; the checkpoint's lengths count the prompt too.
    The length penalty divides a score by a power of the number of tokens after the first `num_uncounted_tokens`.
    `transformers` does not count the `decoder_input_ids` that it is passed. The default, 1, leaves out the start token
    and gives the scores of a call that forces the language token; `len(decoder_prompt)` gives those of a call that is
    passed the whole prompt.
    """

    checkpoint: str
    """The name under which the checkpoint is served."""
    source_ids: tuple[int, ...]
    decoder_prompt: tuple[int, ...]
    max_new_tokens: int
    beam_size: int = 1
    num_hypotheses: int = 1
    length_penalty: float | None = None
    """None, here and below: the checkpoint's own value."""
    early_stopping: EarlyStopping | None = None
    sampling: Sampling | None = None
    repetition_guard: bool = True
    num_top_tokens: int = 0
    with_alignment: bool = False
    num_uncounted_tokens: int = 1
    language_pair: str = field(default="", compare=False)
    """For expectations only; the token ids decide the result."""

    @property
    def wants_details(self) -> bool:
        return self.with_alignment or self.num_top_tokens > 0

    def __post_init__(self) -> None:
        if not self.source_ids:
            raise ValueError("source_ids is empty")
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
            raise ValueError(f"sampling needs a beam_size of 1, not {self.beam_size}")
        if self.num_top_tokens < 0:
            raise ValueError(f"num_top_tokens is {self.num_top_tokens}, less than 0")
        if not 0 <= self.num_uncounted_tokens <= len(self.decoder_prompt):
            num_tokens = len(self.decoder_prompt)
            raise ValueError(f"num_uncounted_tokens is {self.num_uncounted_tokens}, not at most {num_tokens}")
