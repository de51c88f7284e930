"""Glossaries with names, and what keeps them."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

Owner = str | None
"""The name of an API key; None where none is required."""


class GlossaryInfo(msgspec.Struct, frozen=True):
    """A glossary without its terms. Languages are codes in lower case; `created_at` is in seconds since the epoch."""

    glossary_id: str
    name: str
    source_lang: str
    target_lang: str
    created_at: float
    num_terms: int


class GlossaryStore(Protocol):
    """Each owner sees its own glossaries only.

    All methods raise NotReadyError if the store cannot be reached for now.
    """

    async def add(self, owner: Owner, info: GlossaryInfo, terms: Mapping[str, str]) -> None:
        """Raises TooLargeError if the owner has as many as the store allows."""

    async def list_all(self, owner: Owner) -> list[GlossaryInfo]:
        """The oldest first."""

    async def find(self, owner: Owner, glossary_id: str) -> GlossaryInfo | None: ...
    async def find_terms(self, owner: Owner, glossary_id: str) -> Mapping[str, str] | None: ...
    async def remove(self, owner: Owner, glossary_id: str) -> bool:
        """Whether it was there."""


def too_many(limit: int) -> str:
    return f"there are {limit} glossaries, which is the limit: delete one that is not needed"
