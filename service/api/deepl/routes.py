"""DeepL: `POST /v2/translate`, `GET /v2/languages`, `GET|POST /v2/usage`; glossaries are in `glossary_routes`.

Answers are 200, refusals 400, 413, 429, 500, 503 and 504. If keys are set, all paths under `/v2` need one (403).
"""

from service.api.admission import Admission
from service.api.deepl import glossary_routes
from service.api.deepl.endpoints import LanguagesEndpoint, TranslateEndpoint, UsageEndpoint
from service.api.deepl.errors import DIALECT
from service.api.deepl.glossaries import Glossaries
from service.api.deepl.schemas import (
    DeepLLanguage,
    DeepLLanguagesQuery,
    DeepLTranslateAnswer,
    DeepLTranslateBody,
    DeepLUsage,
)
from service.api.deepl.usage import CharacterUsage
from service.api.fields import URL_ENCODED
from service.api.header_keys import Scheme
from service.api.openapi import JSON, WORK_PROBLEMS, DocumentedRoute, Operation
from service.glossaries.store import GlossaryStore
from service.translation.routing import Catalogue

TAG = glossary_routes.TAG
PREFIX = "/v2"
SCHEME = Scheme("DeepL-Auth-Key", {"type": "apiKey", "in": "header", "name": "Authorization"})


def create_routes(admission: Admission, catalogue: Catalogue, store: GlossaryStore) -> list[DocumentedRoute]:
    glossaries = Glossaries(store, catalogue)
    usage = CharacterUsage()
    show_usage = UsageEndpoint(usage)
    return [
        DocumentedRoute(
            Operation(
                method="POST",
                path="/v2/translate",
                tag=TAG,
                summary="Translate",
                body=DeepLTranslateBody,
                body_types=(JSON, URL_ENCODED),
                answer=DeepLTranslateAnswer,
                problems=(*WORK_PROBLEMS, 404),
                dialect=DIALECT,
            ),
            TranslateEndpoint(admission, usage, glossaries),
        ),
        DocumentedRoute(
            Operation(
                method="GET",
                path="/v2/languages",
                tag=TAG,
                summary="Languages",
                query=DeepLLanguagesQuery,
                answer=list[DeepLLanguage],
                problems=(400,),
                dialect=DIALECT,
            ),
            LanguagesEndpoint(catalogue),
        ),
        *(
            DocumentedRoute(
                Operation(
                    method=method, path="/v2/usage", tag=TAG, summary="Usage", answer=DeepLUsage, dialect=DIALECT
                ),
                show_usage,
            )
            for method in ("GET", "POST")
        ),
        *glossary_routes.create_routes(admission, catalogue, glossaries),
    ]
