"""LibreTranslate: `POST /translate`, `POST /detect`, `GET /languages`, `GET /frontend/settings`, `GET /health`.

Answers are 200, refusals 400, 403, 429, 500, 503 and 504. Only `/translate` and `/detect` need a key.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from service.api.admission import Admission
from service.api.answers import HealthAnswer
from service.api.api_keys import ApiKeys
from service.api.encoding import JsonResponse
from service.api.fields import MULTIPART, URL_ENCODED
from service.api.libretranslate.endpoints import DetectEndpoint, TranslateEndpoint
from service.api.libretranslate.errors import DIALECT
from service.api.libretranslate.listings import languages_answer, settings_answer
from service.api.libretranslate.schemas import (
    LibreDetectBody,
    LibreDetectedLanguage,
    LibreLanguage,
    LibreSettings,
    LibreTranslateAnswer,
    LibreTranslateBody,
)
from service.api.openapi import JSON, WORK_PROBLEMS, DocumentedRoute, Operation
from service.translation.language_pair import LanguagePair
from service.translation.routing import Catalogue

TAG = "LibreTranslate"
BODY_TYPES = (JSON, URL_ENCODED, MULTIPART)


def create_routes(
    admission: Admission,
    catalogue: Catalogue,
    default: LanguagePair,
    keys: ApiKeys,
    check_health: Callable[[], None],
) -> list[DocumentedRoute]:
    """`check_health` raises the errors of a server that is not ready."""
    languages = languages_answer(catalogue)
    settings = settings_answer(
        catalogue,
        default,
        char_limit=admission.limits.max_text_characters,
        are_keys_required=keys.is_required,
    )

    async def list_languages(_: Request) -> Response:
        return JsonResponse(languages)

    async def show_settings(_: Request) -> Response:
        return JsonResponse(settings)

    async def health(_: Request) -> Response:
        check_health()
        return JsonResponse(HealthAnswer())

    return [
        DocumentedRoute(
            Operation(
                method="POST",
                path="/translate",
                tag=TAG,
                summary="Translate",
                description="The fields may also stand in the query, if the body is a form or empty.",
                body=LibreTranslateBody,
                body_types=BODY_TYPES,
                answer=LibreTranslateAnswer,
                problems=(*WORK_PROBLEMS, 401),
                dialect=DIALECT,
            ),
            TranslateEndpoint(admission, keys),
        ),
        DocumentedRoute(
            Operation(
                method="POST",
                path="/detect",
                tag=TAG,
                summary="Detect a language",
                description="The fields may also stand in the query, if the body is a form or empty.",
                body=LibreDetectBody,
                body_types=BODY_TYPES,
                answer=list[LibreDetectedLanguage],
                problems=(*WORK_PROBLEMS, 401),
                dialect=DIALECT,
            ),
            DetectEndpoint(admission, keys),
        ),
        DocumentedRoute(
            Operation(
                method="GET",
                path="/languages",
                tag=TAG,
                summary="Languages",
                answer=list[LibreLanguage],
                dialect=DIALECT,
            ),
            list_languages,
        ),
        DocumentedRoute(
            Operation(
                method="GET",
                path="/frontend/settings",
                tag=TAG,
                summary="Settings",
                answer=LibreSettings,
                dialect=DIALECT,
            ),
            show_settings,
        ),
        DocumentedRoute(
            Operation(
                method="GET",
                path="/health",
                tag=TAG,
                summary="Requests are taken",
                answer=HealthAnswer,
                problems=(503,),
                dialect=DIALECT,
            ),
            health,
        ),
    ]
