"""`GET /v1/languages` and `GET /v1/models`: what is served. 200, also while the workers are still starting."""

from fastapi import APIRouter
from langcodes import Language

from service.api.schemas import LanguageEntry, LanguagesAnswer, ModelEntry, ModelsAnswer
from service.engine.client import EngineClient
from service.translator import Translator


def create_router(translator: Translator, client: EngineClient) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["catalogue"])
    tokenizer, checkpoint = translator.tokenizer, translator.checkpoint

    @router.get("/languages")
    async def languages() -> LanguagesAnswer:
        """All source languages, with the targets of each."""
        return LanguagesAnswer(
            [
                LanguageEntry(code, Language.get(code).display_name(), list(tokenizer.targets_of(code)))
                for code in tokenizer.source_languages
            ]
        )

    @router.get("/models")
    async def models() -> ModelsAnswer:
        """The checkpoints that are loaded; a checkpoint appears when its first worker has loaded it."""
        return ModelsAnswer(
            [
                ModelEntry(
                    id=checkpoint.name,
                    model_type=checkpoint.config.model_type,
                    languages=list(tokenizer.source_languages),
                    pivot_lang=tokenizer.pivot_lang,
                    num_parameters=info.num_parameters,
                    compute_type=info.compute_type,
                    device=info.device,
                    workers=client.num_workers,
                    max_rows=info.max_rows,
                    kv_bytes=info.kv_bytes,
                    max_source_tokens=translator.max_source_tokens,
                    max_new_tokens=translator.max_new_tokens,
                )
                for info in client.infos[:1]
            ]
        )

    return router
