"""Hugging Face: `POST /`, `POST /generate`, `POST /generate_stream`, `GET /info`.

Answers are 200, refusals 401, 422, 424, 429, 500, 503 and 504. `/info` needs no key.
"""

from starlette.requests import Request
from starlette.responses import Response

from service.api.admission import Admission
from service.api.encoding import JsonResponse
from service.api.huggingface.answers import BothTasksAnswer, GenerateAnswer, InfoAnswer
from service.api.huggingface.endpoints import GenerateEndpoint, as_both_tasks, as_generation
from service.api.huggingface.errors import DIALECT
from service.api.huggingface.schemas import GenerateBody, LanguageQuery
from service.api.openapi import WORK_PROBLEMS, DocumentedRoute, Operation
from service.translation.language_pair import LanguagePair
from service.translation.routing import Catalogue
from service.translation.translator import NUM_THREADS

TAG = "Hugging Face"
EVENTS = "Server-Sent Events without names, a token each; the last one has the whole text, or is an error"


def create_routes(admission: Admission, default: LanguagePair) -> list[DocumentedRoute]:
    """The routes that translate."""
    both = Operation(
        method="POST",
        path="/",
        tag=TAG,
        summary="Translate, or generate",
        description="InferenceClient sends `translation` and `text_generation` here.",
        body=GenerateBody,
        query=LanguageQuery,
        answer=list[BothTasksAnswer],
        stream=EVENTS,
        problems=WORK_PROBLEMS,
        dialect=DIALECT,
    )
    generate = Operation(
        method="POST",
        path="/generate",
        tag=TAG,
        summary="Generate",
        body=GenerateBody,
        query=LanguageQuery,
        answer=GenerateAnswer,
        stream=EVENTS,
        problems=WORK_PROBLEMS,
        dialect=DIALECT,
    )
    stream = Operation(
        method="POST",
        path="/generate_stream",
        tag=TAG,
        summary="Generate as a stream",
        body=GenerateBody,
        query=LanguageQuery,
        stream=EVENTS,
        problems=WORK_PROBLEMS,
        dialect=DIALECT,
    )
    return [
        DocumentedRoute(both, GenerateEndpoint(admission, default, phrase=as_both_tasks)),
        DocumentedRoute(generate, GenerateEndpoint(admission, default, phrase=as_generation)),
        DocumentedRoute(stream, GenerateEndpoint(admission, default, phrase=None)),
    ]


def create_info_route(catalogue: Catalogue, *, max_requests: int, version: str) -> DocumentedRoute:
    models = catalogue.models
    answer = InfoAnswer(
        model_id=", ".join(model.name for model in models),
        max_concurrent_requests=max_requests,
        max_input_tokens=models[0].max_source_tokens,
        max_total_tokens=models[0].max_source_tokens + models[0].max_new_tokens,
        validation_workers=NUM_THREADS,
        version=version,
    )

    async def info(_: Request) -> Response:
        return JsonResponse(answer)

    operation = Operation(
        method="GET",
        path="/info",
        tag=TAG,
        summary="The server",
        description="The numbers of tokens are those of a sentence of the first checkpoint.",
        answer=InfoAnswer,
        dialect=DIALECT,
    )
    return DocumentedRoute(operation, info)
