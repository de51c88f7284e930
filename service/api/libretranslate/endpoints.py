"""`/translate` and `/detect`. The key is a field, so the order is: gate, body, key, fields, work."""

from starlette.types import Receive, Scope, Send

from service.api.admission import Admission
from service.api.api_keys import ApiKeys
from service.api.encoding import JsonResponse
from service.api.fields import Fields, read_fields, validated
from service.api.libretranslate.answers import detected_language, translate_answer
from service.api.libretranslate.key_check import check_key
from service.api.libretranslate.schemas import LibreDetectBody, LibreTranslateBody
from service.api.reading import read_body
from service.api.record import record_of
from service.api.sse import until_gone


class TranslateEndpoint:
    """The ASGI app of `/translate`."""

    def __init__(self, admission: Admission, keys: ApiKeys) -> None:
        self._admission = admission
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            fields = await _read(scope, receive, self._keys)
            body = validated(LibreTranslateBody, fields, phrase=_phrase)
            translations = await until_gone(receive, entry.translate(body.to_work()))
            answer = translate_answer(body, translations, as_lists=isinstance(fields.values["q"], list))
            await JsonResponse(answer)(scope, receive, send)


class DetectEndpoint:
    """The ASGI app of `/detect`."""

    def __init__(self, admission: Admission, keys: ApiKeys) -> None:
        self._admission = admission
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope, needs_engine=False) as entry:
            fields = await _read(scope, receive, self._keys)
            body = validated(LibreDetectBody, fields, phrase=_phrase)
            (ranked,) = await until_gone(receive, entry.detect((body.text,)))
            answer = [detected_language(each.code, each.confidence) for each in ranked]
            await JsonResponse(answer)(scope, receive, send)


async def _read(scope: Scope, receive: Receive, keys: ApiKeys) -> Fields:
    fields = await read_fields(scope, await read_body(receive))
    key = check_key(keys, fields.values.get("api_key"))
    if key is not None:
        record_of(scope).admit(key)
    if fields.is_form and "q" in fields.values:
        fields.values["q"] = _unix_lines(fields.values["q"])
    return fields


def _unix_lines(text: str) -> str:
    """The text with LF for the CR LF that browsers put into forms, and without one line end at its end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def _phrase(field: str, message: str) -> str:
    return f"Invalid request: {field} parameter: {message}"
