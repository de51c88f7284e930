"""DeepL's glossaries, version 2: `/v2/glossaries` and the paths below it, and `GET /v2/glossary-language-pairs`.

`POST` answers 201, `DELETE` 204, the others 200. Refusals are 400, 404, 413, 429, 500 and 503.
"""

from starlette.requests import Request
from starlette.responses import Response

from service.api.admission import Admission
from service.api.deepl.errors import DIALECT
from service.api.deepl.glossaries import Glossaries
from service.api.deepl.glossary_entries import format_entries
from service.api.deepl.glossary_schemas import (
    DeepLGlossaries,
    DeepLGlossary,
    DeepLGlossaryBody,
    DeepLLanguagePair,
    DeepLLanguagePairs,
)
from service.api.encoding import JsonResponse
from service.api.fields import URL_ENCODED, read_fields, validated
from service.api.openapi import JSON, DocumentedRoute, Operation
from service.translation.routing import Catalogue

TAG = "DeepL"
ALL = "/v2/glossaries"
ONE = "/v2/glossaries/{glossary_id}"
TSV = "text/tab-separated-values"
PROBLEMS = (429, 503)


def create_routes(admission: Admission, catalogue: Catalogue, glossaries: Glossaries) -> list[DocumentedRoute]:
    pairs = DeepLLanguagePairs(
        [DeepLLanguagePair(source, target) for source, targets in catalogue.languages().items() for target in targets]
    )

    async def create(request: Request) -> Response:
        with admission.entered(request.scope, needs_engine=False):
            fields = await read_fields(request.scope, await request.body())
            body = validated(DeepLGlossaryBody, fields, phrase=_phrase)
            info = await glossaries.create(request.scope, body)
            return JsonResponse(DeepLGlossary.from_info(info), status_code=201)

    async def list_all(request: Request) -> Response:
        with admission.entered(request.scope, needs_engine=False):
            infos = await glossaries.list_all(request.scope)
            return JsonResponse(DeepLGlossaries(list(map(DeepLGlossary.from_info, infos))))

    async def show(request: Request) -> Response:
        with admission.entered(request.scope, needs_engine=False):
            info = await glossaries.find(request.scope, request.path_params["glossary_id"])
            return JsonResponse(DeepLGlossary.from_info(info))

    async def show_entries(request: Request) -> Response:
        with admission.entered(request.scope, needs_engine=False):
            terms = await glossaries.find_terms(request.scope, request.path_params["glossary_id"])
            return Response(format_entries(terms), media_type=TSV)

    async def delete(request: Request) -> Response:
        with admission.entered(request.scope, needs_engine=False):
            await glossaries.remove(request.scope, request.path_params["glossary_id"])
            return Response(status_code=204)

    async def list_pairs(_: Request) -> Response:
        return JsonResponse(pairs)

    creation = Operation(
        method="POST",
        path=ALL,
        tag=TAG,
        summary="Create a glossary",
        body=DeepLGlossaryBody,
        body_types=(JSON, URL_ENCODED),
        answer=DeepLGlossary,
        status=201,
        problems=(400, 422, *PROBLEMS),
        dialect=DIALECT,
    )
    return [
        DocumentedRoute(creation, create),
        DocumentedRoute(_reading(ALL, "List glossaries", DeepLGlossaries, problems=PROBLEMS), list_all),
        DocumentedRoute(_reading(ONE, "A glossary", DeepLGlossary, problems=(404, *PROBLEMS)), show),
        DocumentedRoute(_reading(f"{ONE}/entries", "Its entries", None, problems=(404, *PROBLEMS)), show_entries),
        DocumentedRoute(
            Operation(
                method="DELETE",
                path=ONE,
                tag=TAG,
                summary="Delete a glossary",
                status=204,
                problems=(404, *PROBLEMS),
                dialect=DIALECT,
            ),
            delete,
        ),
        DocumentedRoute(
            _reading("/v2/glossary-language-pairs", "Languages of glossaries", DeepLLanguagePairs), list_pairs
        ),
    ]


def _reading(path: str, summary: str, answer: type | None, *, problems: tuple[int, ...] = ()) -> Operation:
    """A GET operation with a JSON answer of type `answer`, or an answer in TSV if that is None."""
    return Operation(
        method="GET",
        path=path,
        tag=TAG,
        summary=summary,
        answer=answer,
        media_type=TSV if answer is None else None,
        problems=problems,
        dialect=DIALECT,
    )


def _phrase(field: str, message: str) -> str:
    return f"Value for '{field}' not supported: {message}"
