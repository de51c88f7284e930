"""DeepL's glossaries; every API key has its own."""

from collections.abc import Mapping
from time import time
from typing import TypeVar
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.api.deepl.glossary_entries import parse_entries
from service.api.deepl.glossary_schemas import DeepLGlossaryBody
from service.api.deepl.schemas import DeepLTranslateBody
from service.api.errors import InvalidRequestError
from service.api.record import record_of
from service.errors import UnsupportedLanguageError
from service.glossaries.store import GlossaryInfo, GlossaryStore
from service.translation.routing import Catalogue

NOT_FOUND = "Glossary not found"
T = TypeVar("T")


class Glossaries:
    def __init__(self, store: GlossaryStore, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    async def create(self, scope: Scope, body: DeepLGlossaryBody) -> GlossaryInfo:
        """Raises InvalidRequestError, UnsupportedLanguageError, TooLargeError and NotReadyError."""
        source_lang, target_lang = _language(body.source_lang), _language(body.target_lang)
        if not self._catalogue.route(source_lang, target_lang).legs:
            raise UnsupportedLanguageError(
                f"target_lang {target_lang} is the source language", field="target_lang", code=target_lang
            )
        terms = parse_entries(body.entries, body.entries_format)
        info = GlossaryInfo(str(uuid4()), body.name, source_lang, target_lang, time(), len(terms))
        await self._store.add(record_of(scope).key, info, terms)
        return info

    async def list_all(self, scope: Scope) -> list[GlossaryInfo]:
        return await self._store.list_all(record_of(scope).key)

    async def find(self, scope: Scope, glossary_id: str) -> GlossaryInfo:
        """Raises HTTPException 404, as the methods below do."""
        return _found(await self._store.find(record_of(scope).key, glossary_id))

    async def find_terms(self, scope: Scope, glossary_id: str) -> Mapping[str, str]:
        return _found(await self._store.find_terms(record_of(scope).key, glossary_id))

    async def terms_for(self, scope: Scope, body: DeepLTranslateBody) -> Mapping[str, str] | None:
        """The terms of the glossary that a translation names, if any.

        Raises InvalidRequestError if its languages differ, and HTTPException 404.
        """
        if not body.glossary_id:
            return None
        if not body.source_lang:
            raise InvalidRequestError("Parameter 'source_lang' is required with 'glossary_id'.")
        info = await self.find(scope, body.glossary_id)
        if (_language(body.source_lang), _language(body.target_lang)) != (info.source_lang, info.target_lang):
            pair = f"{info.source_lang.upper()} to {info.target_lang.upper()}"
            raise InvalidRequestError(f"source_lang and target_lang must match the glossary, which is from {pair}.")
        return await self.find_terms(scope, body.glossary_id)

    async def remove(self, scope: Scope, glossary_id: str) -> None:
        if not await self._store.remove(record_of(scope).key, glossary_id):
            raise HTTPException(404, NOT_FOUND)


def _found(value: T | None) -> T:
    if value is None:
        raise HTTPException(404, NOT_FOUND)
    return value


def _language(code: str) -> str:
    """The language without its region: glossaries have no regions."""
    return code.replace("_", "-").partition("-")[0].lower()
