"""Bodies and answers of DeepL's glossaries."""

from datetime import UTC, datetime

import msgspec
from pydantic import BaseModel, Field

from service.api.deepl.glossary_entries import EntriesFormat
from service.api.schemas import LookedUpCode, UnicodeText
from service.glossaries.store import GlossaryInfo

MAX_NAME_CHARACTERS = 1024


class DeepLGlossaryBody(BaseModel):
    """Unknown fields are ignored."""

    name: UnicodeText = Field(max_length=MAX_NAME_CHARACTERS, min_length=1, examples=["Animals"])
    source_lang: LookedUpCode = Field(examples=["EN"])
    target_lang: LookedUpCode = Field(examples=["DE"])
    entries: UnicodeText = Field(examples=["dog\tHündin"])
    entries_format: EntriesFormat = "tsv"


class DeepLGlossary(msgspec.Struct, frozen=True):
    """`creation_time` is ISO 8601, in UTC."""

    glossary_id: str
    name: str
    ready: bool
    source_lang: str
    target_lang: str
    creation_time: str
    entry_count: int

    @classmethod
    def from_info(cls, info: GlossaryInfo) -> "DeepLGlossary":
        created = datetime.fromtimestamp(info.created_at, UTC).isoformat(timespec="milliseconds")
        return cls(
            glossary_id=info.glossary_id,
            name=info.name,
            ready=True,
            source_lang=info.source_lang,
            target_lang=info.target_lang,
            creation_time=created.replace("+00:00", "Z"),
            entry_count=info.num_terms,
        )


class DeepLGlossaries(msgspec.Struct, frozen=True):
    glossaries: list[DeepLGlossary]


class DeepLLanguagePair(msgspec.Struct, frozen=True):
    source_lang: str
    target_lang: str


class DeepLLanguagePairs(msgspec.Struct, frozen=True):
    supported_languages: list[DeepLLanguagePair]
