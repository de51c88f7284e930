"""The endpoints of Hugging Face's API. A guard in front of them checks keys."""

from collections.abc import Callable, Sequence

import msgspec
from starlette.types import Receive, Scope, Send

from service.api.admission import Admission, Entry, Work
from service.api.encoding import JsonResponse, encode_json
from service.api.fields import Fields, parse_url_encoded, validated
from service.api.huggingface.answers import BothTasksAnswer, GenerateAnswer, GeneratedToken, GenerationDetails
from service.api.huggingface.schemas import GenerateBody, LanguageQuery
from service.api.huggingface.tokens import EventNumbers, TokenReader, finish_reason
from service.api.reading import parse_object, read_body
from service.api.sse import encode_data, until_gone
from service.api.streaming import StreamedTranslation
from service.translation.active import ActiveTranslation
from service.translation.language_pair import LanguagePair
from service.translation.results import TokenEvent, Translation

Phrasing = Callable[[GenerateAnswer], object]


def as_generation(answer: GenerateAnswer) -> object:
    """The answer of `/generate`: an object."""
    return answer


def as_both_tasks(answer: GenerateAnswer) -> object:
    """The answer of `/`: a list of one object."""
    return [BothTasksAnswer(answer.generated_text, answer.generated_text, answer.details)]


class GenerateEndpoint:
    """An ASGI app that streams if `phrase` is None or the body has `stream`."""

    def __init__(self, admission: Admission, default: LanguagePair, *, phrase: Phrasing | None) -> None:
        self._admission = admission
        self._default = default
        self._phrase = phrase

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            fields = Fields(parse_object(await read_body(receive)), is_form=False)
            body = validated(GenerateBody, fields, phrase=_words)
            query = Fields(dict(parse_url_encoded(scope["query_string"])), is_form=True)
            phrase = None if body.stream else self._phrase
            work = body.to_work(
                validated(LanguageQuery, query, phrase=_words), self._default, is_streamed=phrase is None
            )
            if phrase is None:
                response = StreamedTranslation(entry, work, lambda active: _Events(active, body))
                await response(scope, receive, send)
            else:
                answer = await until_gone(receive, _answer(entry, work, body))
                await JsonResponse(phrase(answer))(scope, receive, send)


async def _answer(entry: Entry, work: Work, body: GenerateBody) -> GenerateAnswer:
    with entry.submitted(await entry.prepare(work), work) as active:
        reader, tokens = TokenReader(active), list[GeneratedToken]()
        while True:
            for item in await active.next():
                if isinstance(item, Translation):
                    return GenerateAnswer(item.text, _details(item, tokens, body) if body.has_details else None)
                tokens += reader.read(item)


def _details(translation: Translation, tokens: list[GeneratedToken], body: GenerateBody) -> GenerationDetails:
    return GenerationDetails(
        finish_reason=finish_reason(translation), generated_tokens=len(tokens), seed=body.seed, tokens=tokens
    )


class _Events:
    """Events without names, as in text-generation-inference."""

    def __init__(self, active: ActiveTranslation, body: GenerateBody) -> None:
        self._numbers = EventNumbers(active, with_details=body.has_details, seed=body.seed)

    def start(self) -> bytes:
        return b""

    def encode(self, items: Sequence[TokenEvent | Translation]) -> bytes:
        return b"".join(encode_data(encode_json(event)) for event in self._numbers.events(items))

    def done(self) -> bytes:
        return b""

    def error(self, body: msgspec.Struct) -> bytes:
        return encode_data(encode_json(body))


def _words(field: str, message: str) -> str:
    return f"Input validation error: {field}: {message}"
