"""`POST /v1/detect`: the languages of texts. It answers 200 even while no worker is ready.

Refusals are those of a translation: 400, 413, 422, 429 for too many requests at once, and 503 while draining.
"""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.admission import Admission, Entry
from service.api.answers import Detection, DetectionsAnswer, LanguageCandidate
from service.api.encoding import JsonResponse
from service.api.openapi import DocumentedRoute, Operation
from service.api.reading import read_body, read_json
from service.api.schemas import DetectBody
from service.api.sse import until_gone
from service.text.language_detector import DetectedLanguage

MAX_CANDIDATES = 5


def create_route(admission: Admission) -> DocumentedRoute:
    operation = Operation(
        method="POST",
        path="/v1/detect",
        tag="translation",
        summary="Detect languages",
        description="Detects the language of each text, among the source languages that are served.",
        body=DetectBody,
        answer=DetectionsAnswer,
        problems=(400, 422, 429, 503),
    )
    return DocumentedRoute(operation, DetectEndpoint(admission))


class DetectEndpoint:
    """The ASGI app of `/v1/detect`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope, needs_engine=False) as entry:
            body = read_json(DetectBody, scope, await read_body(receive))
            response = await until_gone(receive, _answer(entry, body))
            await response(scope, receive, send)


async def _answer(entry: Entry, body: DetectBody) -> Response:
    ranked = await entry.detect(tuple(body.text), model=body.model)
    return JsonResponse(DetectionsAnswer([_detection(index, languages) for index, languages in enumerate(ranked)]))


def _detection(text_index: int, ranked: Sequence[DetectedLanguage]) -> Detection:
    candidates = [LanguageCandidate(each.code, each.confidence) for each in ranked[:MAX_CANDIDATES]]
    return Detection(text_index, ranked[0].code, ranked[0].confidence, candidates)
