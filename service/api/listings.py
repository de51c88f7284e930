"""`GET /v1/languages` and `GET /v1/models`: what is served. 200, also while the workers are still starting."""

from fastapi import APIRouter
from langcodes import Language

from service.api.schemas import LanguageEntry, LanguagesAnswer, ModelEntry, ModelsAnswer
from service.engine.client import EngineClient
from service.translation.routing import Catalogue


def create_router(catalogue: Catalogue, client: EngineClient) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["catalogue"])
    languages_answer = LanguagesAnswer(
        [
            LanguageEntry(code, Language.get(code).display_name(), targets)
            for code, targets in catalogue.languages().items()
        ]
    )

    @router.get("/languages")
    async def languages() -> LanguagesAnswer:
        """All source languages of all checkpoints, with the targets of each, through a third language too."""
        return languages_answer

    @router.get("/models")
    async def models() -> ModelsAnswer:
        """The checkpoints that are served; they appear when the first worker has loaded them."""
        use = [client.encoder_cache_use(model.index) for model in catalogue.models]
        return ModelsAnswer(
            [
                ModelEntry(
                    id=model.name,
                    model_type=model.checkpoint.config.model_type,
                    languages=list(model.tokenizer.source_languages),
                    pivot_lang=model.tokenizer.pivot_lang,
                    num_parameters=info.num_parameters,
                    compute_type=info.compute_type,
                    device=info.device,
                    workers=client.num_workers,
                    max_rows=info.max_rows,
                    kv_bytes=info.kv_bytes,
                    max_source_tokens=model.max_source_tokens,
                    max_new_tokens=model.max_new_tokens,
                    encoder_cache_hits=num_hits,
                    encoder_cache_misses=num_misses,
                )
                for model, info, (num_hits, num_misses) in zip(catalogue.models, client.checkpoints, use, strict=False)
            ]
        )

    return router
