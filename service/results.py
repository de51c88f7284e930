"""What a client gets back, as the contract names it."""

from dataclasses import dataclass

from service.engine.types import FinishReason


@dataclass(frozen=True, slots=True)
class Token:
    """One chosen token. `text` is the delta; joined over a text and target, the deltas are the translation.

    Text without a letter or digit in it is its own translation, as one delta without a token.
    """

    text_index: int
    target_lang: str
    sentence_index: int
    text: str
    token_id: int | None
    logprob: float | None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Translation:
    """One text in one language. `score` is the mean log-probability of a token, with the length penalty applied.

    `pivot_lang` is the language that the translation went through, where there was no direct pair.
    """

    text_index: int
    target_lang: str
    pivot_lang: str | None
    text: str
    score: float
    finish_reason: FinishReason
    hypotheses: list[Hypothesis]


@dataclass(slots=True)
class Usage:
    """Tokens of both halves where a translation went through a third language."""

    source_tokens: int = 0
    generated_tokens: int = 0
    characters: int = 0
    encoder_cache_hits: int = 0
    encoder_cache_misses: int = 0
