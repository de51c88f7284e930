"""`POST /v1/explain`: the greedy translation of one sentence in detail.

Answers are 200, and refusals are those of a translation.

Probabilities, softmax(Z'W), and cross-attention come from the steps that chose the tokens. M is the mask that the
decoder adds to its scores QKᵀ/√d_k: 0 or the relative bias where a position may be seen, the lowest number elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model.search.spec import DecodeSpec
from model.transformer.causal_mask import causal_mask_rows
from model.transformer.compute_types import ComputeType
from service.api.admission import Admission, Entry, Work
from service.api.answers import CrossAttention, ExplainAnswer, ExplainStep
from service.api.encoding import JsonResponse
from service.api.openapi import WORK_PROBLEMS, DocumentedRoute, Operation
from service.api.reading import read_body, read_json
from service.api.schemas import ExplainBody
from service.api.sse import until_gone
from service.engine.types import CheckpointInfo
from service.errors import TooLargeError, UnsupportedOptionError
from service.translation.results import Translation
from service.translation.target_text import TargetText

LOWEST: dict[ComputeType, float] = {
    "float32": -3.4028234663852886e38,
    "bfloat16": -3.3895313892515355e38,
    "float16": -65504.0,
    "int8": -3.4028234663852886e38,  # its activations are float32
}
"""The value of M at hidden positions: the lowest number of each compute type."""
PROBABILITY_BYTES = 12
MASK_BYTES = 24
TOKEN_BYTES = 100
"""Upper bounds in bytes of JSON: a number of either kind with its comma, and a token with its names."""


class CheckpointSource(Protocol):
    @property
    def checkpoints(self) -> Mapping[str, CheckpointInfo]: ...


def create_route(admission: Admission, engine: CheckpointSource) -> DocumentedRoute:
    operation = Operation(
        method="POST",
        path="/v1/explain",
        tag="translation",
        summary="Explain",
        description="Translates one sentence and shows the tokens, their alternatives, the cross-attention and the "
        "mask.",
        body=ExplainBody,
        answer=ExplainAnswer,
        problems=WORK_PROBLEMS,
    )
    return DocumentedRoute(operation, ExplainEndpoint(admission, engine))


class ExplainEndpoint:
    """The ASGI app of `/v1/explain`."""

    def __init__(self, admission: Admission, engine: CheckpointSource) -> None:
        self._admission = admission
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            body = read_json(ExplainBody, scope, await read_body(receive))
            response = await until_gone(receive, self._answer(entry, body.to_work(), num_top_tokens=body.k))
            await response(scope, receive, send)

    async def _answer(self, entry: Entry, work: Work, *, num_top_tokens: int) -> Response:
        prepared = await entry.prepare(work)
        spec = _the_spec(prepared.target_texts)
        size = ExplanationSize(
            num_source_tokens=len(spec.source_ids),
            num_prompt_tokens=len(spec.decoder_prompt),
            num_top_tokens=num_top_tokens,
            num_masks=len(self._engine.checkpoints[spec.checkpoint].decoder_bias_by_distance or [()]),
        )
        self._check(size, num_target_tokens=min(2 * size.num_source_tokens + 8, spec.max_new_tokens))
        with entry.submitted(prepared, work) as active:
            (translation,) = await active.drain()
            self._check(size, num_target_tokens=len(translation.tokens or []))
            return JsonResponse(self._explain(active.target_texts[0], translation))

    def _check(self, size: "ExplanationSize", *, num_target_tokens: int) -> None:
        limit = self._admission.limits.max_answer_bytes
        if size.num_bytes(num_target_tokens) > limit:
            raise TooLargeError(
                f"the explanation of {num_target_tokens} tokens would have more than {limit} bytes, which is the "
                "limit; use a smaller k or max_new_tokens"
            )

    def _explain(self, target_text: TargetText, translation: Translation) -> ExplainAnswer:
        leg = target_text.route.legs[0]
        prompt = target_text.sentences[0].decoded.spec.decoder_prompt
        tokens = translation.tokens or []
        info = self._engine.checkpoints[leg.model.name]
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
            causal_mask=causal_mask_rows(
                len(prompt) + len(tokens) - 1,
                lowest=LOWEST[info.compute_type],
                bias_by_distance=info.decoder_bias_by_distance,
            ),
        )


def _the_spec(target_texts: Sequence[TargetText]) -> DecodeSpec:
    """The spec of the sentence. Raises UnsupportedOptionError for several sentences or a pair that is not direct."""
    (target_text,) = target_texts
    if not target_text.route.legs:
        raise UnsupportedOptionError("source_lang and target_lang are one language: nothing is translated")
    if target_text.route.pivot_lang is not None:
        raise UnsupportedOptionError(f"there is no direct pair: it goes through {target_text.route.pivot_lang!r}")
    if len(target_text.sentences) != 1:
        raise UnsupportedOptionError(f"text has {len(target_text.sentences)} sentences; one is explained")
    return target_text.sentences[0].decoded.spec


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationSize:
    """The size of an explanation. Before the work, n source tokens count as 2n + 8 target tokens, as elsewhere."""

    num_source_tokens: int
    num_prompt_tokens: int
    num_top_tokens: int
    num_masks: int

    def num_bytes(self, num_target_tokens: int) -> int:
        """An upper bound for the answer in JSON."""
        num_inputs = self.num_prompt_tokens + num_target_tokens - 1
        num_names = self.num_source_tokens + self.num_prompt_tokens + num_target_tokens * (self.num_top_tokens + 2)
        return (
            num_target_tokens * self.num_source_tokens * PROBABILITY_BYTES
            + self.num_masks * num_inputs * num_inputs * MASK_BYTES
            + num_names * TOKEN_BYTES
        )
