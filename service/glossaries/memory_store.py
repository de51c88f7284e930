"""Glossaries in the memory of the service process. They are lost when it ends."""

from collections import defaultdict
from collections.abc import Mapping

from service.errors import TooLargeError
from service.glossaries.store import GlossaryInfo, Owner, too_many


class MemoryGlossaries:
    def __init__(self, *, max_glossaries: int) -> None:
        """`max_glossaries` is the limit of each owner."""
        self._max_glossaries = max_glossaries
        self._by_owner: defaultdict[Owner, dict[str, tuple[GlossaryInfo, Mapping[str, str]]]] = defaultdict(dict)

    async def add(self, owner: Owner, info: GlossaryInfo, terms: Mapping[str, str]) -> None:
        own = self._by_owner[owner]
        if len(own) >= self._max_glossaries:
            raise TooLargeError(too_many(self._max_glossaries))
        own[info.glossary_id] = info, terms

    async def list_all(self, owner: Owner) -> list[GlossaryInfo]:
        return [info for info, _ in self._by_owner[owner].values()]

    async def find(self, owner: Owner, glossary_id: str) -> GlossaryInfo | None:
        found = self._by_owner[owner].get(glossary_id)
        return found[0] if found else None

    async def find_terms(self, owner: Owner, glossary_id: str) -> Mapping[str, str] | None:
        found = self._by_owner[owner].get(glossary_id)
        return found[1] if found else None

    async def remove(self, owner: Owner, glossary_id: str) -> bool:
        return self._by_owner[owner].pop(glossary_id, None) is not None
