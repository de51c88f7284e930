"""The endpoints of DeepL's API. A guard in front of them checks keys."""

from asyncio import to_thread

from starlette.types import Receive, Scope, Send

from service.api.admission import Admission, Entry
from service.api.deepl.errors import not_supported
from service.api.deepl.glossaries import Glossaries
from service.api.deepl.languages import source_entries, target_entries
from service.api.deepl.schemas import (
    MODEL_TYPES,
    DeepLLanguagesQuery,
    DeepLTranslateAnswer,
    DeepLTranslateBody,
    DeepLTranslation,
    DeepLUsage,
)
from service.api.deepl.usage import CharacterUsage
from service.api.encoding import JsonResponse
from service.api.fields import read_fields, validated
from service.api.reading import read_body
from service.api.record import record_of
from service.api.sse import until_gone
from service.translation.results import Translation
from service.translation.routing import Catalogue


class TranslateEndpoint:
    """The ASGI app of `/v2/translate`."""

    def __init__(self, admission: Admission, usage: CharacterUsage, glossaries: Glossaries) -> None:
        self._admission = admission
        self._usage = usage
        self._glossaries = glossaries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            fields = await read_fields(scope, await read_body(receive), lists=frozenset({"text"}))
            body = validated(DeepLTranslateBody, fields, phrase=_phrase)
            answer = await until_gone(receive, self._answer(scope, entry, body))
            num_billed = sum(each.billed_characters for each in answer.translations)
            self._usage.add(record_of(scope).key, num_billed)
            await JsonResponse(answer)(scope, receive, send)

    async def _answer(self, scope: Scope, entry: Entry, body: DeepLTranslateBody) -> DeepLTranslateAnswer:
        terms = await self._glossaries.terms_for(scope, body)
        translations = await entry.translate(body.to_work(terms))
        num_billed = await to_thread(body.num_billed) if body.tag_handling else body.num_billed()
        return DeepLTranslateAnswer([_entry(*each, body) for each in zip(num_billed, translations, strict=True)])


class LanguagesEndpoint:
    """The ASGI app of `/v2/languages`.

    `type` is in the query, or in a form in the body of the GET, as DeepL's Python client sends it.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._entries = {"source": source_entries(catalogue), "target": target_entries(catalogue)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = await read_fields(scope, await read_body(receive))
        query = validated(DeepLLanguagesQuery, fields, phrase=_phrase)
        await JsonResponse(self._entries[query.type])(scope, receive, send)


class UsageEndpoint:
    """The ASGI app of `/v2/usage`."""

    def __init__(self, usage: CharacterUsage) -> None:
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = DeepLUsage(self._usage.count(record_of(scope).key))
        await JsonResponse(answer)(scope, receive, send)


def _entry(num_billed: int, translation: Translation, body: DeepLTranslateBody) -> DeepLTranslation:
    source_lang = body.source_lang or translation.detected_source_lang or ""
    return DeepLTranslation(
        detected_source_language=source_lang.upper(),
        text=translation.text,
        billed_characters=num_billed,
        model_type_used=MODEL_TYPES[body.model_type] if body.model_type else None,
    )


def _phrase(field: str, _message: str) -> str:
    return not_supported(field)
