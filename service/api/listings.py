"""`GET /v1/languages` and `GET /v1/models`: 200, even while the workers are starting."""

from collections.abc import Mapping
from typing import Protocol

from langcodes import Language
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import LanguageEntry, LanguagesAnswer, ModelEntry, ModelsAnswer
from service.api.encoding import JsonResponse
from service.api.openapi import DocumentedRoute, Operation
from service.engine.types import CheckpointInfo
from service.translation.routing import Catalogue

TAG = "catalogue"


class LoadedCheckpoints(Protocol):
    @property
    def num_workers(self) -> int: ...
    @property
    def checkpoints(self) -> Mapping[str, CheckpointInfo]: ...
    def encoder_cache_use(self, checkpoint: str) -> tuple[int, int]: ...


def languages_answer(languages: Mapping[str, list[str]]) -> LanguagesAnswer:
    """`languages` maps every source language to its targets."""
    return LanguagesAnswer(
        [LanguageEntry(code, Language.get(code).display_name(), targets) for code, targets in languages.items()]
    )


def create_routes(catalogue: Catalogue, engine: LoadedCheckpoints) -> list[DocumentedRoute]:
    answer = languages_answer(catalogue.languages())

    async def languages(_: Request) -> Response:
        return JsonResponse(answer)

    async def models(_: Request) -> Response:
        return JsonResponse(_models(catalogue, engine))

    return [
        DocumentedRoute(
            Operation(
                method="GET",
                path="/v1/languages",
                tag=TAG,
                summary="Languages",
                description="All source languages of all checkpoints, with the targets of each, through a third "
                "language too.",
                answer=LanguagesAnswer,
            ),
            languages,
        ),
        DocumentedRoute(
            Operation(
                method="GET",
                path="/v1/models",
                tag=TAG,
                summary="Models",
                description="The checkpoints that are served. They appear when the first worker has loaded them.",
                answer=ModelsAnswer,
            ),
            models,
        ),
    ]


def _models(catalogue: Catalogue, engine: LoadedCheckpoints) -> ModelsAnswer:
    entries = []
    for model in catalogue.models:
        info = engine.checkpoints.get(model.name)
        if info is None:
            continue
        num_hits, num_misses = engine.encoder_cache_use(model.name)
        entries.append(
            ModelEntry(
                id=model.name,
                model_type=model.checkpoint.config.model_type,
                languages=list(model.tokenizer.source_languages),
                pivot_lang=model.tokenizer.pivot_lang,
                num_parameters=info.num_parameters,
                compute_type=info.compute_type,
                isa=info.isa,
                device=info.device,
                workers=engine.num_workers,
                max_rows=info.max_rows,
                kv_bytes=info.kv_bytes,
                max_source_tokens=model.max_source_tokens,
                max_new_tokens=model.max_new_tokens,
                encoder_cache_hits=num_hits,
                encoder_cache_misses=num_misses,
            )
        )
    return ModelsAnswer(entries)
