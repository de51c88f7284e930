"""Bodies and queries, as the contract names them."""

import re
from dataclasses import dataclass
from secrets import randbits
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from model.search.types import Sampling
from service.engine.types import Priority
from service.errors import UnsupportedOptionError
from service.translation.results import TopToken, Translation, Usage
from service.translation.translator import Job


def _has_text(text: str) -> str:
    if not text.isascii() and SURROGATE.search(text):
        raise ValueError("a lone surrogate is not a character")
    if not text.strip():
        raise ValueError("there is no text to translate")
    return text


def _one_or_many(value: object) -> object:
    if not isinstance(value, str | list):
        raise ValueError("a string or a list of strings is needed")
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_has_text)]
LanguageCode = Annotated[str, Field(min_length=1, max_length=35)]
ONE_OR_MANY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
OneOrMany = BeforeValidator(_one_or_many), Field(min_length=1), WithJsonSchema(ONE_OR_MANY)
Extra = Literal["tokens", "alignment", "top_tokens", "timings"]

NUM_TOP_TOKENS = 5
SURROGATE = re.compile("[\ud800-\udfff]")


class TranslationQuery(BaseModel):
    """`GET /v1/translations/stream`; in a query, `text` and `target_lang` may be given more than once."""

    model_config = ConfigDict(extra="forbid")

    source_lang: LanguageCode | None = None
    model: str | None = None
    format: Literal["text", "html"] = "text"
    beam_size: int = Field(1, ge=1, le=8)
    num_hypotheses: int = Field(1, ge=1, le=8)
    length_penalty: float | None = Field(None, ge=-10, le=10)
    max_new_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, gt=0)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    repetition_guard: bool = True
    prefix: Text | None = None
    extras: list[Extra] = Field(default_factory=list, alias="return")
    priority: Priority = "interactive"
    timeout_s: float | None = Field(None, gt=0)

    text: Annotated[list[Text], *OneOrMany] = Field(examples=["I saw a dog."])
    target_lang: Annotated[list[LanguageCode], *OneOrMany] = Field(examples=["de"])

    @property
    def is_streamed(self) -> bool:
        return True

    def to_job(self) -> Job:
        """Raises UnsupportedOptionError for what this server does not serve, and options that exclude each other."""
        if self.format != "text":
            raise UnsupportedOptionError("format html is not supported by this server yet")
        if "timings" in self.extras:
            raise UnsupportedOptionError("return timings is not supported by this server yet")
        if self.source_lang is None:
            raise UnsupportedOptionError("source_lang is required: this server does not detect languages yet")
        if self.num_hypotheses > self.beam_size:
            raise UnsupportedOptionError(f"num_hypotheses is {self.num_hypotheses}, over beam_size {self.beam_size}")
        if self.prefix is not None and len(self.text) * len(self.target_lang) > 1:
            raise UnsupportedOptionError("prefix goes with one text and one target_lang only")
        return Job(
            texts=tuple(self.text),
            source_lang=self.source_lang,
            target_langs=tuple(self.target_lang),
            model=self.model,
            beam_size=self.beam_size,
            num_hypotheses=self.num_hypotheses,
            max_new_tokens=self.max_new_tokens,
            length_penalty=self.length_penalty,
            sampling=self._sampling(),
            prefix=(self.prefix or "").strip(),
            with_tokens=bool(self.extras),
            num_top_tokens=NUM_TOP_TOKENS if "top_tokens" in self.extras else 0,
            with_alignment="alignment" in self.extras,
            priority=self.priority,
            repetition_guard=self.repetition_guard,
            is_streamed=self.is_streamed,
        )

    def _sampling(self) -> Sampling | None:
        """Any of its options turns sampling on; without a seed each request draws anew."""
        if all(option is None for option in (self.temperature, self.top_k, self.top_p, self.seed)):
            return None
        if self.beam_size > 1:
            raise UnsupportedOptionError("temperature, top_k, top_p and seed go with a beam_size of 1 only")
        return Sampling(
            seed=randbits(63) if self.seed is None else self.seed,
            temperature=self.temperature or 1.0,
            top_k=self.top_k or 0,
            top_p=1.0 if self.top_p is None else self.top_p,
        )


class TranslationBody(TranslationQuery):
    """`POST /v1/translations`; JSON has types, so that `"3"` is no number here."""

    model_config = ConfigDict(strict=True)

    stream: bool = False

    @property
    def is_streamed(self) -> bool:
        return self.stream


@dataclass(frozen=True, slots=True)
class TranslationAnswer:
    id: str
    model: str
    translations: list[Translation]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ExplainStep:
    """The chosen token and the most probable ones of its step, softmax(Z'W)."""

    token: str
    token_id: int
    logprob: float
    top_tokens: list[TopToken]


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Target tokens x source tokens, averaged over the heads of `layer`."""

    layer: str
    weights: list[list[float]]


@dataclass(frozen=True, slots=True)
class ExplainAnswer:
    """`causal_mask` is M over the decoder's inputs: the prompt, and all target tokens but the last."""

    model: str
    text: str
    score: float
    source_tokens: list[str]
    decoder_prompt: list[str]
    target_tokens: list[str]
    steps: list[ExplainStep]
    cross_attention: CrossAttention
    causal_mask: list[list[float]]


@dataclass(frozen=True, slots=True)
class LanguageEntry:
    """`targets` are the languages that the model reaches from this one."""

    code: str
    name: str
    targets: list[str]


@dataclass(frozen=True, slots=True)
class LanguagesAnswer:
    languages: list[LanguageEntry]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """`kv_bytes` and `max_rows` are a worker's; hits and misses count sentences, as a request's `usage` does."""

    id: str
    model_type: str
    languages: list[str]
    pivot_lang: str | None
    num_parameters: int
    compute_type: str
    device: str
    workers: int
    max_rows: int
    kv_bytes: int
    max_source_tokens: int
    max_new_tokens: int
    encoder_cache_hits: int
    encoder_cache_misses: int


@dataclass(frozen=True, slots=True)
class ModelsAnswer:
    models: list[ModelEntry]


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    status: Literal["ok"]
