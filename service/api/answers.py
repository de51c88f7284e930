"""The answers of the routes, named as in the contract."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from service.translation.results import TopToken, Translation, Usage


class TranslationAnswer(msgspec.Struct, frozen=True):
    id: str
    model: str
    translations: list[Translation]
    usage: Usage


class StreamStart(msgspec.Struct, frozen=True):
    """The data of a stream's first event, `start`. `texts` is the number of texts."""

    id: str
    model: str
    texts: int


class StreamDone(msgspec.Struct, frozen=True):
    """The data of a stream's last event, `done`."""

    usage: Usage


class LanguageCandidate(msgspec.Struct, frozen=True):
    """`confidence` is the probability among the served languages, from 0 to 1."""

    code: str
    confidence: float


class Detection(msgspec.Struct, frozen=True):
    """The languages of one text. `candidates` are the most probable ones, best first; the first is the detected one.

    A text in none of the served languages has a fallback, with a confidence of 0.
    """

    text_index: int
    detected_source_lang: str
    confidence: float
    candidates: list[LanguageCandidate]


class DetectionsAnswer(msgspec.Struct, frozen=True):
    detections: list[Detection]


class ExplainStep(msgspec.Struct, frozen=True):
    """The chosen token and the most probable ones of its step, softmax(Z'W)."""

    token: str
    token_id: int
    logprob: float
    top_tokens: list[TopToken]


class CrossAttention(msgspec.Struct, frozen=True):
    """`weights` are target tokens x source tokens, averaged over the heads of `layer`."""

    layer: str
    weights: list[list[float]]


class ExplainAnswer(msgspec.Struct, frozen=True):
    """`causal_mask` is M as the decoder adds it to its scores.

    Its T inputs are the prompt and all target tokens but the last. M is T x T, or heads x T x T for a model with
    relative positions, whose bias is a part of it.
    """

    model: str
    text: str
    score: float
    source_tokens: list[str]
    decoder_prompt: list[str]
    target_tokens: list[str]
    steps: list[ExplainStep]
    cross_attention: CrossAttention
    causal_mask: Sequence[Sequence[float | Sequence[float]]]


class LanguageEntry(msgspec.Struct, frozen=True):
    """`targets` are the languages that can be reached from this one."""

    code: str
    name: str
    targets: list[str]


class LanguagesAnswer(msgspec.Struct, frozen=True):
    languages: list[LanguageEntry]


class ModelEntry(msgspec.Struct, frozen=True):
    """`kv_bytes` and `max_rows` are per worker. Hits and misses count sentences, like `usage` of a request.

    `isa` is the instruction set of the server's own kernels, or `none`.
    """

    id: str
    model_type: str
    languages: list[str]
    pivot_lang: str | None
    num_parameters: int
    compute_type: str
    isa: str
    device: str
    workers: int
    max_rows: int
    kv_bytes: int
    max_source_tokens: int
    max_new_tokens: int
    encoder_cache_hits: int
    encoder_cache_misses: int


class ModelsAnswer(msgspec.Struct, frozen=True):
    models: list[ModelEntry]


class HealthAnswer(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class FieldError(msgspec.Struct, frozen=True):
    field: str
    message: str


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem object (RFC 9457). A 422 has the first `errors` and the number of errors omitted."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] | None = None
    errors_omitted: int | None = None
