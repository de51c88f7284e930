"""The parts of an answer, as the HTTP contract names them; absent fields are omitted from the JSON."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from model.search.results import FinishReason


class TopToken(msgspec.Struct, frozen=True, gc=False):
    """One of the most probable tokens of a step, with its probability, softmax(Z'W)."""

    token: str
    token_id: int
    probability: float


class TokenEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One chosen token of a stream. `text` is the delta: joined, the deltas of a text and target are its translation.

    `token_id` and `logprob` are None for text without a token: text without a letter or digit, which is kept unchanged,
    and the rest of a beam's text after its last token was sent. `alignment` is the cross-attention of the step over the
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


class TokenEntry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One token of a translation, with its name in the vocabulary; otherwise as in `TokenEvent`."""

    sentence_index: int
    token: str
    token_id: int
    logprob: float
    top_tokens: list[TopToken] | None = None
    alignment: list[float] | None = None


class HypothesisText(msgspec.Struct, frozen=True, gc=False):
    """An alternative for a whole text. `score` is the mean of its sentences' scores, weighted by tokens."""

    text: str
    score: float


if TYPE_CHECKING:
    NullableText = str
else:  # OpenAPI's type: only the native API sends null, for a text that is null
    NullableText = str | None


class Translation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """One text in one language, with the requested code. `text` and `score` are those of the best hypothesis.

    `pivot_lang` is the third language that the translation went through. The detected language and its confidence, 0 to
    1, are present if the request named no source language. `warnings` name insets and terms that may be misplaced.
    `source_tokens` has the tokens of every sentence, if tokens were requested.
    """

    text_index: int
    target_lang: str
    pivot_lang: str | None = None
    text: NullableText
    score: float
    detected_source_lang: str | None = None
    detected_confidence: float | None = None
    finish_reason: FinishReason
    hypotheses: list[HypothesisText]
    warnings: list[str] | None = None
    tokens: list[TokenEntry] | None = None
    source_tokens: list[list[str]] | None = None


@dataclass(slots=True)
class Usage:
    """The usage of a request, counted for every sentence, even if equal ones shared a decode.

    If a translation goes through a third language, the tokens of both legs count. A sentence is a cache hit if its
    source did not have to be encoded for it, so all equal sentences but the first are hits.
    """

    source_tokens: int = 0
    generated_tokens: int = 0
    characters: int = 0
    encoder_cache_hits: int = 0
    encoder_cache_misses: int = 0
