"""Bodies and queries, named as in the contract. Numbers are finite and bounded."""

import re
from collections.abc import Mapping, Sequence
from secrets import randbits
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from model.checkpoint.generation_config import MAX_LENGTH_PENALTY
from model.search.spec import MAX_TEMPERATURE, MIN_TEMPERATURE, Sampling
from service.api.admission import Work
from service.api.long_lists import VALIDATE_IN_CHUNKS
from service.engine.owner import Priority
from service.errors import UnsupportedOptionError
from service.text.glossary import MAX_TERM_CHARACTERS, MAX_TERMS, Glossary
from service.text.segmentation import SplitSentences
from service.translation.request import TranslationRequest

MAX_INT = 2**31 - 1
MAX_LANGUAGE_CHARACTERS = 35
MAX_MODEL_CHARACTERS = 1024
MAX_TARGETS = 512
"""The limit of target languages, more than any model has."""
MAX_EXTRAS = 8
NUM_TOP_TOKENS = 5
SURROGATE = re.compile("[\ud800-\udfff]")


def _is_unicode(text: str) -> str:
    if not text.isascii() and SURROGATE.search(text):
        raise ValueError("a lone surrogate is not a character")
    return text


def _has_text(text: str) -> str:
    if not text.strip():
        raise ValueError("there is no text to translate")
    return text


def _has_characters(term: str) -> str:
    if not term.strip():
        raise ValueError("a term is not blank")
    return term


def _one_or_many(value: object) -> object:
    if not isinstance(value, str | list):
        raise ValueError("a string or a list of strings is needed")
    return [value] if isinstance(value, str) else value


UnicodeText = Annotated[str, AfterValidator(_is_unicode)]
Text = Annotated[UnicodeText, AfterValidator(_has_text)]
LanguageCode = Annotated[str, Field(min_length=1, max_length=MAX_LANGUAGE_CHARACTERS), AfterValidator(_is_unicode)]
LookedUpCode = Annotated[UnicodeText, AfterValidator(lambda code: code[: MAX_LANGUAGE_CHARACTERS + 1])]
"""A code for APIs that call a code of any length unsupported. Long codes are cut; they are no languages anyway."""
ModelName = Annotated[str, Field(max_length=MAX_MODEL_CHARACTERS), AfterValidator(_is_unicode)]
Seconds = Annotated[float, Field(gt=0)]
Term = Annotated[
    str, Field(max_length=MAX_TERM_CHARACTERS), AfterValidator(_is_unicode), AfterValidator(_has_characters)
]
Extra = Literal["tokens", "alignment", "top_tokens", "timings"]


def one_or_many_schema(*, max_items: int | None = None, item_types: Sequence[str] = ("string",)) -> WithJsonSchema:
    types = [{"type": each} for each in item_types]
    items = {"type": "array", "items": {"anyOf": types} if len(types) > 1 else types[0], "minItems": 1}
    return WithJsonSchema({"anyOf": [{"type": "string"}, items | ({"maxItems": max_items} if max_items else {})]})


Texts = Annotated[
    list[UnicodeText], Field(min_length=1), VALIDATE_IN_CHUNKS, BeforeValidator(_one_or_many), one_or_many_schema()
]
NullableTexts = Annotated[
    list[UnicodeText | None],
    Field(min_length=1),
    VALIDATE_IN_CHUNKS,
    BeforeValidator(_one_or_many),
    one_or_many_schema(item_types=("string", "null")),
]


class TranslationQuery(BaseModel):
    """The query of a stream; `text` and `target_lang` may be repeated."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    source_lang: LanguageCode | None = None
    model: ModelName | None = None
    format: Literal["text", "html"] = "text"
    beam_size: int = Field(1, ge=1, le=8)
    num_hypotheses: int = Field(1, ge=1, le=8)
    length_penalty: float | None = Field(None, ge=-MAX_LENGTH_PENALTY, le=MAX_LENGTH_PENALTY)
    max_new_tokens: int | None = Field(None, ge=1, le=MAX_INT)
    temperature: float | None = Field(None, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)
    top_k: int | None = Field(None, ge=1, le=MAX_INT)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    repetition_guard: bool = True
    split_sentences: SplitSentences = "newlines"
    prefix: Text | None = None
    extras: Annotated[list[Extra], Field(max_length=MAX_EXTRAS)] = Field(default_factory=list, alias="return")
    priority: Priority = "interactive"
    timeout_s: Seconds | None = None

    text: NullableTexts = Field(examples=["I saw a dog."])
    target_lang: Annotated[
        list[LanguageCode],
        Field(min_length=1, max_length=MAX_TARGETS),
        BeforeValidator(_one_or_many),
        one_or_many_schema(max_items=MAX_TARGETS),
    ] = Field(examples=["de"])

    @property
    def is_streamed(self) -> bool:
        return True

    @property
    def terms(self) -> Mapping[str, str] | None:
        return None

    @property
    def nulls(self) -> frozenset[int]:
        """The indices of the texts that are null. They are translated as empty texts, and come back as null."""
        return frozenset(index for index, text in enumerate(self.text) if text is None)

    def to_work(self) -> Work:
        """Raises UnsupportedOptionError for options that this server does not serve or that exclude each other."""
        if "timings" in self.extras:
            raise UnsupportedOptionError("return timings is not supported by this server yet")
        if self.num_hypotheses > self.beam_size:
            raise UnsupportedOptionError(f"num_hypotheses is {self.num_hypotheses}, over beam_size {self.beam_size}")
        if self.prefix is not None and len(self.text) * len(self.target_lang) > 1:
            raise UnsupportedOptionError("prefix needs exactly one text and one target_lang")
        if self.terms and len(set(self.target_lang)) > 1:
            raise UnsupportedOptionError("glossary needs exactly one target_lang, the language of its translations")
        sampling = self._sampling()
        request = TranslationRequest(
            texts=tuple(text or "" for text in self.text),
            source_lang=self.source_lang,
            target_langs=tuple(self.target_lang),
            model=self.model,
            format=self.format,
            beam_size=self.beam_size,
            num_hypotheses=self.num_hypotheses,
            max_new_tokens=self.max_new_tokens,
            length_penalty=self.length_penalty,
            split_sentences=self.split_sentences,
            sampling=sampling,
            prefix=(self.prefix or "").strip(),
            glossary=Glossary(self.terms) if self.terms else None,
            with_tokens=bool(self.extras),
            num_top_tokens=NUM_TOP_TOKENS if "top_tokens" in self.extras else 0,
            with_alignment="alignment" in self.extras,
            priority=self.priority,
            repetition_guard=self.repetition_guard,
            is_streamed=self.is_streamed,
        )
        is_repeatable = not self.is_streamed and (sampling is None or self.seed is not None)
        return Work(request, timeout_seconds=self.timeout_s, is_repeatable=is_repeatable)

    def _sampling(self) -> Sampling | None:
        """Any of these options turns sampling on; without a seed every request is drawn differently."""
        if all(option is None for option in (self.temperature, self.top_k, self.top_p, self.seed)):
            return None
        if self.beam_size > 1:
            raise UnsupportedOptionError("temperature, top_k, top_p and seed need a beam_size of 1")
        return Sampling(
            seed=randbits(63) if self.seed is None else self.seed,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k or 0,
            top_p=1.0 if self.top_p is None else self.top_p,
        )


class TranslationBody(TranslationQuery):
    """JSON has types, so `"3"` is not a number here."""

    model_config = ConfigDict(strict=True)

    glossary: dict[Term, Term] | None = Field(None, max_length=MAX_TERMS, examples=[{"dog": "Hündin"}])
    stream: bool = False

    @property
    def is_streamed(self) -> bool:
        return self.stream

    @property
    def terms(self) -> Mapping[str, str] | None:
        return self.glossary


class ExplainBody(BaseModel):
    """One sentence, in a pair that a checkpoint was trained in; `k` tokens are shown for each step."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: Text
    source_lang: LanguageCode
    target_lang: LanguageCode
    model: ModelName | None = None
    k: int = Field(5, ge=1, le=50)
    max_new_tokens: int | None = Field(None, ge=1, le=MAX_INT)
    timeout_s: Seconds | None = None

    def to_work(self) -> Work:
        request = TranslationRequest(
            texts=(self.text,),
            source_lang=self.source_lang,
            target_langs=(self.target_lang,),
            model=self.model,
            max_new_tokens=self.max_new_tokens,
            with_tokens=True,
            num_top_tokens=self.k,
            with_alignment=True,
            is_one_decode=True,
        )
        return Work(request, timeout_seconds=self.timeout_s, is_repeatable=True)


class DetectBody(BaseModel):
    """Texts whose languages are detected independently, among those of the server or of one model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Texts = Field(examples=["Ich habe einen Hund gesehen."])
    model: ModelName | None = None
