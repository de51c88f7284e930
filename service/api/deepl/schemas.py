"""Bodies and answers of DeepL's API. Options that would change a translation but are not served are refused by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, FailFast, Field, model_validator

from service.api.admission import Work
from service.api.deepl.errors import not_supported
from service.api.errors import InvalidRequestError
from service.api.schemas import LookedUpCode, UnicodeText
from service.text.glossary import Glossary
from service.text.markup.reading import MARKUP
from service.text.segmentation import SplitSentences
from service.translation.request import TranslationRequest

SPLIT_SENTENCES: Mapping[str, SplitSentences] = MappingProxyType(
    {"0": "none", "1": "newlines", "nonewlines": "punctuation"}
)
MODEL_TYPES = MappingProxyType(
    {
        "quality_optimized": "quality_optimized",
        "prefer_quality_optimized": "quality_optimized",
        "latency_optimized": "latency_optimized",
    }
)
"""Requested type -> reported type. One model serves both."""
NOT_SERVED_WITH_TAGS = ("ignore_tags", "splitting_tags", "non_splitting_tags")
NOT_SERVED = ("glossary_ids", "style_id", "translation_memory_id", "custom_instructions")
CHARACTER_LIMIT = 10**12
"""There are no quotas, but without a limit DeepL's client shows the usage as unknown."""

NotServed = Annotated[Any, Field(description="not served")]


class DeepLTranslateBody(BaseModel):
    """Unknown fields, hints, null, and fields for tags without `tag_handling` are ignored."""

    text: Annotated[
        list[UnicodeText], FailFast(), BeforeValidator(lambda text: [text] if isinstance(text, str) else text)
    ] = Field(default_factory=list, examples=[["I saw a dog."]])
    source_lang: LookedUpCode | None = None
    target_lang: LookedUpCode = Field("", examples=["DE"])
    split_sentences: Annotated[
        Literal["0", "1", "nonewlines"], BeforeValidator(lambda value: str(value) if value in (0, 1) else value)
    ] = "1"
    preserve_formatting: bool = False
    formality: Literal["default", "more", "less", "prefer_more", "prefer_less"] = "default"
    tag_handling: UnicodeText | None = None
    ignore_tags: NotServed = None
    splitting_tags: NotServed = None
    non_splitting_tags: NotServed = None
    model_type: Literal["quality_optimized", "prefer_quality_optimized", "latency_optimized"] | None = None
    show_billed_characters: bool = False
    glossary_id: UnicodeText | None = None
    glossary_ids: NotServed = None
    style_id: NotServed = None
    translation_memory_id: NotServed = None
    custom_instructions: NotServed = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Drop nulls, because some JSON libraries write every field of an object, whether it is set or not."""
        return {name: value for name, value in values.items() if value is not None}

    def num_billed(self) -> list[int]:
        """The number of characters of each text without its markup. Reading the markup can take a while."""
        language = MARKUP.get(self.tag_handling or "")
        return [len(text) if language is None else language.num_characters(text) for text in self.text]

    def to_work(self, terms: Mapping[str, str] | None) -> Work:
        """`terms` are those of the glossary. Raises InvalidRequestError."""
        if not self.text:
            raise InvalidRequestError("Parameter 'text' not specified.")
        if not self.target_lang:
            raise InvalidRequestError("Parameter 'target_lang' not specified.")
        for field in (*NOT_SERVED, *(NOT_SERVED_WITH_TAGS if self.tag_handling else ())):
            if getattr(self, field):
                raise InvalidRequestError(not_supported(field))
        if self.formality in ("more", "less"):
            raise InvalidRequestError(
                f"Target language {self.target_lang.upper()} does not support formality {self.formality}: "
                f"prefer_{self.formality} and default are accepted"
            )
        request = TranslationRequest(
            texts=tuple(self.text),
            source_lang=self.source_lang or None,
            target_langs=(self.target_lang,),
            format=self.tag_handling or "text",
            formats=("text", *MARKUP),
            split_sentences=SPLIT_SENTENCES[self.split_sentences],
            glossary=Glossary(terms) if terms else None,
        )
        return Work(request, timeout_seconds=None, is_repeatable=True)


class DeepLLanguagesQuery(BaseModel):
    type: Literal["source", "target"] = "source"


class DeepLTranslation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`billed_characters` counts Unicode code points of the source without its markup. Nothing is charged."""

    detected_source_language: str
    text: str
    billed_characters: int
    model_type_used: str | None = None


class DeepLTranslateAnswer(msgspec.Struct, frozen=True):
    translations: list[DeepLTranslation]


class DeepLLanguage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`supports_formality` is present for targets only."""

    language: str
    name: str
    supports_formality: bool | None = None


class DeepLUsage(msgspec.Struct, frozen=True):
    """Characters translated for the key since the server started."""

    character_count: int
    character_limit: int = CHARACTER_LIMIT
