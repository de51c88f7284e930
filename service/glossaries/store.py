"""Stored glossaries, and the interface of their stores."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

Owner = str | None
"""The name of an API key; None if no key is required."""


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
        """Raises TooLargeError if the owner already has as many glossaries as the store allows."""

    async def list_all(self, owner: Owner) -> list[GlossaryInfo]:
        """The glossaries of the owner, oldest first."""

    async def find(self, owner: Owner, glossary_id: str) -> GlossaryInfo | None: ...
    async def find_terms(self, owner: Owner, glossary_id: str) -> Mapping[str, str] | None: ...
    async def remove(self, owner: Owner, glossary_id: str) -> bool:
        """Remove a glossary. Returns whether it existed."""


def too_many(limit: int) -> str:
    return f"there are {limit} glossaries, which is the limit: delete one that is not needed"
