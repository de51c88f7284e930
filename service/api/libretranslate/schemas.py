"""Bodies and answers of LibreTranslate's API. Checks come in its order and raise its sentences."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema

from service.api.admission import Work
from service.api.errors import InvalidRequestError
from service.api.schemas import LookedUpCode, UnicodeText, one_or_many_schema
from service.translation.language_pair import AUTO
from service.translation.request import TranslationRequest

MAX_ALTERNATIVES = 7
"""A beam search has at most 8 hypotheses, the best one included."""

ApiKey = Annotated[Any, WithJsonSchema({"type": "string"})]
"""The key, which is checked before the other fields are validated."""


def _as_list(q: object) -> object:
    """An empty string counts as missing; inside a list it is a text that comes back unchanged."""
    return [q] if isinstance(q, str) and q else q or []


class LibreTranslateBody(BaseModel):
    """Unknown fields are ignored."""

    q: Annotated[list[UnicodeText], FailFast(), BeforeValidator(_as_list), one_or_many_schema()] = Field(
        default_factory=list, examples=["I saw a dog."]
    )
    source: LookedUpCode | None = Field(None, examples=[AUTO])
    target: LookedUpCode | None = Field(None, examples=["de"])
    format: UnicodeText | None = None
    alternatives: Annotated[Any, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_ALTERNATIVES})] = 0
    api_key: ApiKey = None

    @property
    def is_detected(self) -> bool:
        return self.source == AUTO

    @property
    def num_alternatives(self) -> int:
        """Raises InvalidRequestError."""
        try:
            number = int(self.alternatives or 0)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidRequestError("Invalid request: alternatives parameter is not a number") from error
        if number > MAX_ALTERNATIVES:
            raise InvalidRequestError(f"Invalid request: alternatives parameter must be <= {MAX_ALTERNATIVES}")
        return max(number, 0)

    def to_work(self) -> Work:
        """Raises InvalidRequestError."""
        for name, value in (("q", self.q), ("source", self.source), ("target", self.target)):
            if not value:
                raise InvalidRequestError(f"Invalid request: missing {name} parameter")
        assert self.target is not None
        num_alternatives = self.num_alternatives
        # HTML has no alternatives in this API.
        num_hypotheses = 1 if self.format == "html" else 1 + num_alternatives
        request = TranslationRequest(
            texts=tuple(self.q),
            source_lang=None if self.is_detected else self.source,
            target_langs=(self.target,),
            format=self.format or "text",
            beam_size=num_hypotheses,
            num_hypotheses=num_hypotheses,
        )
        return Work(request, timeout_seconds=None, is_repeatable=True)


class LibreDetectBody(BaseModel):
    q: UnicodeText | None = Field(None, examples=["I saw a dog."])
    api_key: ApiKey = None

    @property
    def text(self) -> str:
        """Raises InvalidRequestError."""
        if not self.q:
            raise InvalidRequestError("Invalid request: missing q parameter")
        return self.q


class LibreDetectedLanguage(msgspec.Struct, frozen=True):
    """`confidence` is in percent."""

    confidence: float
    language: str


class LibreTranslateAnswer(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Values are lists if `q` was a list.

    Detected languages are present if `source` was `auto`, alternatives if they were requested.
    """

    translated_text: str | list[str]
    detected_language: LibreDetectedLanguage | list[LibreDetectedLanguage] | None = None
    alternatives: Sequence[str | list[str]] | None = None


class LibreLanguage(msgspec.Struct, frozen=True):
    """`targets` includes the language itself."""

    code: str
    name: str
    targets: list[str]


class NamedLanguage(msgspec.Struct, frozen=True):
    code: str
    name: str


class NamedPair(msgspec.Struct, frozen=True):
    source: NamedLanguage
    target: NamedLanguage


class LibreSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Settings of LibreTranslate's page. Files and suggestions are not served."""

    char_limit: int
    api_keys: bool
    key_required: bool
    language: NamedPair
    frontend_timeout: int = 500
    suggestions: bool = False
    files_translation: bool = False
    supported_files_format: list[str] = []
