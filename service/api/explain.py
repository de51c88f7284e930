"""`POST /v1/explain`: how one sentence was translated, greedily. 200, or refused as a translation is.

Probabilities, softmax(Z'W), and cross-attention are those of the steps that chose the tokens.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from model.transformer.compute_types import ComputeType
from service.api.schemas import (
    CrossAttention,
    ExplainAnswer,
    ExplainStep,
    LanguageCode,
    Text,
)
from service.api.sse import until_gone
from service.api.translations import TranslationService
from service.engine.client import EngineClient
from service.errors import UnsupportedOptionError
from service.translation.translator import ActiveTranslation, Job

LOWEST: dict[ComputeType, float] = {
    "float32": -3.4028234663852886e38,
    "bfloat16": -3.3895313892515355e38,
    "float16": -65504.0,
    "int8": -3.4028234663852886e38,  # whose activations are float32
}
"""What M has where a position may not be seen: the lowest number of each compute type."""


class ExplainBody(BaseModel):
    """One sentence, in a pair that a checkpoint was trained in; `k` is how many tokens to show of each step."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Text
    source_lang: LanguageCode
    target_lang: LanguageCode
    model: str | None = None
    k: int = Field(5, ge=1, le=50)
    timeout_s: float | None = Field(None, gt=0)

    def to_job(self) -> Job:
        return Job(
            texts=(self.text,),
            source_lang=self.source_lang,
            target_langs=(self.target_lang,),
            model=self.model,
            with_tokens=True,
            num_top_tokens=self.k,
            with_alignment=True,
        )


def create_router(service: TranslationService, client: EngineClient) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["translation"])

    async def admit(request: Request, body: ExplainBody) -> AsyncIterator[ActiveTranslation]:
        async with service.admitted(body, request.scope) as active:
            (unit,) = active.units
            if unit.route.pivot_lang is not None:
                raise UnsupportedOptionError(f"there is no direct pair: it goes through {unit.route.pivot_lang!r}")
            if len(unit.sentences) != 1:
                raise UnsupportedOptionError(f"text has {len(unit.sentences)} sentences; one is explained")
            yield active

    @router.post("/explain")
    async def explain(request: Request, active: Annotated[ActiveTranslation, Depends(admit)]) -> ExplainAnswer:
        """Translate one sentence and show the tokens, their alternatives, the cross-attention and the mask."""
        (translation,) = await until_gone(request.receive, active.drain())
        (unit,) = active.units
        leg = unit.route.legs[0]
        tokens = translation.tokens or []
        prompt = leg.model.tokenizer.decoder_prompt(leg.target_lang)
        num_inputs = len(prompt) + len(tokens) - 1
        lowest = LOWEST[client.checkpoints[leg.model.index].compute_type]
        return ExplainAnswer(
            model=leg.model.name,
            text=translation.text,
            score=translation.score,
            source_tokens=(translation.source_tokens or [[]])[0],
            decoder_prompt=[leg.model.tokenizer.target_names.get(token_id, "") for token_id in prompt],
            target_tokens=[token.token for token in tokens],
            steps=[ExplainStep(each.token, each.token_id, each.logprob, each.top_tokens or []) for each in tokens],
            cross_attention=CrossAttention(
                layer=f"decoder.layers.{leg.model.checkpoint.config.decoder_layers - 1}",
                weights=[each.alignment or [] for each in tokens],
            ),
            causal_mask=[[0.0 if key <= query else lowest for key in range(num_inputs)] for query in range(num_inputs)],
        )

    return router
