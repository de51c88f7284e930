"""The whole HTTP app, with the languages and tokenizer of the bundled model, on a scripted engine."""

import asyncio
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

from model.checkpoint.bundled import BUNDLED_MODEL
from service.api.access_log import AccessLog
from service.api.admission import Limits
from service.api.api_keys import ApiKeys
from service.api.app import create_app
from service.api.body_limit import BodyPace
from service.api.key_entries import parse_list
from service.api.openapi import App
from service.app import read_model
from service.engine.types import CheckpointInfo
from service.errors import DeadlineExceededError
from service.glossaries.memory_store import MemoryGlossaries
from service.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.observability.request_telemetry import RequestTelemetry
from service.observability.translation_telemetry import TranslationTelemetry
from service.rates.rate_limits import RateLimits
from service.settings import Settings
from service.translation.language_pair import LanguagePair
from service.translation.prepared import PreparedTranslation
from service.translation.request import TranslationRequest
from service.translation.routing import Catalogue, ServedModel
from service.translation.translator import Translator
from tests.support.detectors import language_detector
from tests.support.scripted_engine import Script, ScriptedEngine, echo

LIMITS = Limits(
    max_requests=8,
    max_texts=16,
    max_text_characters=2_000,
    max_answer_bytes=1 << 20,
    timeout_seconds=20.0,
    retry_linger_seconds=0.0,
)
MAX_BODY_BYTES = 100_000
QUICK_ENOUGH = BodyPace(arrival_seconds=20.0, min_bytes_per_second=1024)


class HeldTranslator(Translator):
    """While held, requests stay in `prepare`; `num_preparing` counts them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.num_preparing = 0
        self._may_prepare = asyncio.Event()
        self._may_prepare.set()

    def hold(self) -> None:
        self._may_prepare.clear()

    def release(self) -> None:
        self._may_prepare.set()

    async def prepare(self, request: TranslationRequest, *, deadline: float = inf) -> PreparedTranslation:
        self.num_preparing += 1
        try:
            async with asyncio.timeout_at(None if deadline == inf else deadline):
                await self._may_prepare.wait()
            return await super().prepare(request, deadline=deadline)
        except TimeoutError:
            raise DeadlineExceededError("the time allowed for this request is over") from None
        finally:
            self.num_preparing -= 1


@dataclass(frozen=True, slots=True)
class ScriptedApp:
    app: App
    engine: ScriptedEngine
    translator: HeldTranslator
    lifecycle: Lifecycle
    metrics: Metrics

    def is_idle(self) -> bool:
        return not (self.engine.open_specs or self.translator.num_preparing or self.lifecycle.num_requests)


def scripted_app(
    *,
    limits: Limits = LIMITS,
    script: Script = echo,
    max_queue_tokens: int = 10_000,
    bias_by_distance: list[list[float]] | None = None,
    api_keys: str = "",
    default_pair: LanguagePair = LanguagePair(None, None),
    cors_origins: tuple[str, ...] = (),
    allowed_hosts: tuple[str, ...] | None = None,
    operation_port: int | None = None,
    has_docs: bool = True,
    has_metrics: bool = True,
    has_playground: bool = True,
    access_log: AccessLog | None = None,
    body_pace: BodyPace = QUICK_ENOUGH,
) -> ScriptedApp:
    model = bundled_model()
    keys = parse_list(api_keys) if api_keys else ()
    info = CheckpointInfo(
        name=model.name,
        device="cpu",
        compute_type="float32",
        fingerprint="0" * 64,
        encoder_dtype="float32",
        max_rows=8,
        num_parameters=1,
        kv_bytes=1,
        decoder_bias_by_distance=bias_by_distance,
    )
    scripted = ScriptedEngine(info, script=script, max_queue_tokens=max_queue_tokens)
    engine: Any = scripted
    catalogue, lifecycle, metrics = Catalogue([model]), Lifecycle(), Metrics()
    translator = HeldTranslator(
        catalogue,
        language_detector(),
        engine,
        max_answer_bytes=limits.max_answer_bytes,
        observer=TranslationTelemetry(metrics),
    )
    app = create_app(
        translator=translator,
        catalogue=catalogue,
        engine=engine,
        lifecycle=lifecycle,
        observer=RequestTelemetry(metrics),
        render_metrics=metrics.render if has_metrics else None,
        limits=limits,
        max_body_bytes=MAX_BODY_BYTES,
        body_pace=body_pace,
        version="0",
        default_pair=default_pair,
        api_keys=ApiKeys(lambda: keys),
        glossaries=MemoryGlossaries(max_glossaries=3),
        rate_limiter=RateLimits(),
        cors_origins=cors_origins,
        allowed_hosts=allowed_hosts,
        operation_port=operation_port,
        has_docs=has_docs,
        has_playground=has_playground,
        access_log=access_log,
    )
    return ScriptedApp(app, scripted, translator, lifecycle, metrics)


@cache
def bundled_model() -> ServedModel:
    """The bundled model without its weights."""
    return read_model(str(BUNDLED_MODEL), Settings())
