"""What a client gets back, as the contract names it."""

from dataclasses import dataclass

import msgspec

from model.search.types import FinishReason


@dataclass(frozen=True, slots=True)
class TopToken:
    token: str
    token_id: int
    probability: float


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chosen token. `text` is the delta; joined over a text and target, the deltas are the translation.

    Text that no token stands for has no token id: what has no letter or digit in it and stays as it is, and what a beam
    leaves to say when its tokens were all told before. `alignment` is the cross-attention of the step over the
    sentence's source tokens, averaged over the heads of the last layer.
    """

    text_index: int
    target_lang: str
    sentence_index: int
    text: str
    token_id: int | None
    logprob: float | None
    top_tokens: list[TopToken] | None = None
    alignment: list[float] | None = None


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A token in a plain answer; as in a stream, with its name in the vocabulary."""

    sentence_index: int
    token: str
    token_id: int
    logprob: float
    top_tokens: list[TopToken] | None = None
    alignment: list[float] | None = None


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
    tokens: list[TokenEntry] | None = None
    source_tokens: list[list[str]] | None = None
    """The source tokens of each sentence, where tokens were asked for."""


@dataclass(slots=True)
class Usage:
    """Tokens of both halves where a translation went through a third language."""

    source_tokens: int = 0
    generated_tokens: int = 0
    characters: int = 0
    encoder_cache_hits: int = 0
    encoder_cache_misses: int = 0
