"""Bodies and queries, as the contract names them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.engine.types import Priority
from service.errors import UnsupportedOptionError
from service.results import Translation, Usage
from service.translator import Job


def _has_text(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
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

NOT_SERVED_YET: dict[str, Any] = {
    "format": "text",
    "beam_size": 1,
    "num_hypotheses": 1,
    "temperature": None,
    "top_k": None,
    "top_p": None,
    "seed": None,
    "prefix": None,
    "extras": [],
}
"""Options of the contract without an implementation, with the value that asks for nothing."""


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
    seed: int | None = None
    repetition_guard: bool = True
    prefix: str | None = None
    extras: list[Extra] = Field(default_factory=list, alias="return")
    priority: Priority = "interactive"
    timeout_s: float | None = Field(None, gt=0)

    text: Annotated[list[Text], *OneOrMany] = Field(examples=["I saw a dog."])
    target_lang: Annotated[list[LanguageCode], *OneOrMany] = Field(examples=["de"])

    def to_job(self) -> Job:
        """Raises UnsupportedOptionError for an option that this server does not serve, by its name."""
        for name, off in NOT_SERVED_YET.items():
            if getattr(self, name) != off:
                field = type(self).model_fields[name].alias or name
                raise UnsupportedOptionError(f"{field} is not supported by this server yet")
        if self.source_lang is None:
            raise UnsupportedOptionError("source_lang is required: this server does not detect languages yet")
        return Job(
            texts=tuple(self.text),
            source_lang=self.source_lang,
            target_langs=tuple(self.target_lang),
            model=self.model,
            max_new_tokens=self.max_new_tokens,
            length_penalty=self.length_penalty,
            priority=self.priority,
            repetition_guard=self.repetition_guard,
        )


class TranslationBody(TranslationQuery):
    """`POST /v1/translations`; JSON has types, so that `"3"` is no number here."""

    model_config = ConfigDict(strict=True)

    stream: bool = False


@dataclass(frozen=True, slots=True)
class TranslationAnswer:
    id: str
    model: str
    translations: list[Translation]
    usage: Usage


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
    """`kv_bytes` and `max_rows` are a worker's."""

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


@dataclass(frozen=True, slots=True)
class ModelsAnswer:
    models: list[ModelEntry]


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    status: Literal["ok"]
