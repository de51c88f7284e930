"""The composition root: builds the parts from the settings and puts them together."""

import asyncio
import importlib.metadata
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.checkpoint.hub import resolve_checkpoint
from model.search.types import SearchRequest
from model.tokenizers.loading import load_tokenizer
from service.api import explain, health, listings, translations
from service.api.access_log import AccessLog
from service.api.body_limit import BodyLimit
from service.api.errors import install_error_handlers
from service.api.middleware import RequestRecorder
from service.api.translations import TranslationService
from service.cache.encoder_cache import EncoderCache, EncoderIdentity
from service.cache.memory import MemoryTier
from service.cache.observer import CacheObserver
from service.cache.values import OutputFormat
from service.engine.client import EngineClient
from service.engine.machine import count_usable_cores, count_visible_gpus, find_gpus, read_text
from service.engine.placement import Placement, place_workers
from service.engine.types import CheckpointInfo, CheckpointSpec, Sequence, WorkerSpec
from service.lifecycle import Lifecycle
from service.observability.cache_telemetry import CacheTelemetry
from service.observability.log import take_over
from service.observability.metrics import Metrics
from service.observability.tracing import TracingError, start_tracing
from service.settings import BUNDLED_MODEL, Settings, SettingsError, variable_name
from service.translation.routing import Catalogue, ServedModel
from service.translation.translator import Translator

if TYPE_CHECKING:
    from service.cache.redis_tier import RedisTier
    from service.observability.spans import Tracing

BUNDLED_NAME = "kakehashi-bundled"
WARM_UP_TEXT = "1"
WARM_UP_TOKENS = 16
MAX_SOURCE_TOKENS = 512
"""A sentence's tokens, at most; KV caches reserve room for as many in each row."""
MAX_PENDING_REDIS_BYTES = 32 << 20
"""Encoder outputs that wait to be written to Redis; what comes beyond them is dropped."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a server runs: the app, and what it needs to start and stop it."""

    app: FastAPI
    client: EngineClient
    lifecycle: Lifecycle


def build_service(settings: Settings, *, on_fatal: Callable[[str], None]) -> Service:
    """Read the checkpoint's configuration and tokenizer; weights are loaded by the workers, when the app starts.

    Raises CheckpointError. `on_fatal` is told why when the workers' first start fails.
    """
    models = [_read_model(index, reference, settings) for index, reference in enumerate(settings.model_references)]
    take_over("transformers")
    # A time stamp for each series would double the page.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics = Metrics()
    tracing = _start_tracing()
    lifecycle = Lifecycle()
    checkpoints = [
        CheckpointSpec(
            directory=str(model.checkpoint.directory),
            name=model.name,
            max_source_tokens=model.max_source_tokens,
            max_new_tokens=model.max_new_tokens,
        )
        for model in models
    ]
    cache_telemetry = CacheTelemetry(metrics)
    redis = _connect_redis(settings, cache_telemetry)
    cache = EncoderCache(
        MemoryTier(max_bytes=settings.cache_bytes, ttl_seconds=settings.cache_ttl_seconds)
        if settings.cache_bytes
        else None,
        redis,
        min_memory_tokens=settings.cache_min_tokens,
        min_shared_tokens=settings.redis_min_tokens,
        observer=cache_telemetry,
        clock=time.monotonic,
    )
    specs = [
        WorkerSpec(
            checkpoints=checkpoints,
            device=placement.device,
            compute_type=settings.compute_type,
            num_threads=placement.num_threads,
            max_rows=0 if settings.max_rows == "auto" else settings.max_rows,
            max_encode_tokens=settings.max_encode_tokens,
            max_bulk_wait_seconds=settings.max_bulk_wait_seconds,
            min_cached_tokens=cache.min_tokens,
            log_format=settings.log_format,
            log_level=settings.log_level,
            isa=settings.isa,
        )
        for placement in _placements(settings)
    ]

    def describe(infos: list[CheckpointInfo]) -> None:
        for model, info in zip(models, infos, strict=True):
            model_type = model.checkpoint.config.model_type
            metrics.describe_build(version=version(), model=model.name, model_type=model_type, info=info)
        cache.describe({model.name: _identity(model, info) for model, info in zip(models, infos, strict=True)})

    client = EngineClient(
        specs,
        cache=cache,
        max_queue_tokens=settings.max_queue_tokens,
        warm_up=lambda: [_warm_up_sequence(model, client.next_id()) for model in models],
        metrics=metrics,
        on_loaded=describe,
        on_fatal=on_fatal,
    )
    catalogue = Catalogue(models)
    translator = Translator(catalogue, client, max_queue_tokens=settings.max_queue_tokens, metrics=metrics)
    translation_service = TranslationService(
        translator,
        lifecycle,
        metrics,
        max_texts=settings.max_texts,
        max_text_characters=settings.max_text_characters,
        timeout_seconds=settings.timeout_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        client.start()
        if redis is not None:
            redis.start()
        yield
        # side by side: each may take a second or two of what is left of the grace period
        others = [each.aclose() for each in (redis, tracing) if each is not None]
        await asyncio.gather(client.aclose(), *others)

    app = FastAPI(
        title="Kakehashi",
        version=version(),
        lifespan=lifespan,
        # FastAPI's own asks at each request whether anything was set up to collect it.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        routes=[translations.create_route(translation_service)],
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    access_log = AccessLog(with_texts=settings.log_texts) if settings.access_log else None
    app.add_middleware(RequestRecorder, metrics=metrics, access_log=access_log, tracing=tracing)
    install_error_handlers(app)
    app.include_router(translations.create_router(translation_service))
    app.include_router(explain.create_router(translation_service, client))
    app.include_router(listings.create_router(catalogue, client))
    app.include_router(health.create_router(client, lifecycle, metrics))
    return Service(app, client, lifecycle)


def _read_model(index: int, reference: str, settings: Settings) -> ServedModel:
    directory = resolve_checkpoint(reference)
    name = BUNDLED_NAME if directory == BUNDLED_MODEL else reference
    try:
        checkpoint = read_checkpoint(directory, name=name)
        tokenizer = load_tokenizer(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"cannot serve {name}: {error}") from error
    longest_prompt = max(len(prompt) for prompt in tokenizer.decoder_prompts.values())
    max_source_tokens = min(checkpoint.config.max_positions, MAX_SOURCE_TOKENS)
    max_new_tokens = min(settings.max_new_tokens, checkpoint.generation.max_length - longest_prompt)
    if max_new_tokens < 1:
        raise CheckpointError(f"cannot serve {name}: max_length leaves no room after {longest_prompt} prompt tokens")
    max_source_pieces = max_source_tokens - tokenizer.num_source_specials
    if max_source_pieces < 1:
        raise CheckpointError(f"cannot serve {name}: {max_source_tokens} positions leave no room for a source")
    if not any(tokenizer.targets_of(code) for code in tokenizer.source_languages):
        raise CheckpointError(f"cannot serve {name}: no language has a target")
    return ServedModel(index, checkpoint, tokenizer, max_source_tokens, max_source_pieces, max_new_tokens)


def _connect_redis(settings: Settings, observer: CacheObserver) -> "RedisTier | None":
    """Raises SettingsError for a URL that cannot be used; whether anything answers there shows later."""
    if not settings.redis_url:
        return None
    from service.cache.redis_client import connect  # takes memory that only those pay who use it
    from service.cache.redis_tier import RedisTier

    timeout_seconds = settings.redis_timeout_milliseconds / 1000
    try:
        client = connect(settings.redis_url, timeout_seconds=timeout_seconds)
    except ValueError as error:
        raise SettingsError(f"{variable_name('redis_url')}: {error}") from error
    return RedisTier(
        client,
        ttl_seconds=settings.cache_ttl_seconds,
        timeout_seconds=timeout_seconds,
        max_pending_bytes=MAX_PENDING_REDIS_BYTES,
        observer=observer,
    )


def _start_tracing() -> "Tracing | None":
    """Raises SettingsError."""
    try:
        return start_tracing(os.environ, version=version())
    except TracingError as error:
        raise SettingsError(str(error)) from error


def _identity(model: ServedModel, info: CheckpointInfo) -> EncoderIdentity:
    output_format = OutputFormat(info.encoder_dtype, model.checkpoint.config.d_model)
    return EncoderIdentity(info.fingerprint, info.compute_type, output_format)


def version() -> str:
    return importlib.metadata.version("kakehashi")


def _placements(settings: Settings) -> list[Placement]:
    return place_workers(
        device=settings.device,
        num_workers=None if settings.workers == "auto" else settings.workers,
        num_threads=None if settings.threads_per_worker == "auto" else settings.threads_per_worker,
        num_cores=count_usable_cores(len(os.sched_getaffinity(0)), read_text),
        num_gpus=count_visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), _gpus()),
    )


def _gpus() -> list[str]:
    return [] if importlib.metadata.version("torch").endswith("+cpu") else find_gpus()


def _warm_up_sequence(model: ServedModel, sequence_id: int) -> Sequence:
    tokenizer = model.tokenizer
    source_lang = next(code for code in tokenizer.source_languages if tokenizer.targets_of(code))
    target_lang = tokenizer.targets_of(source_lang)[0]
    prompt = tuple(tokenizer.decoder_prompt(target_lang))
    source_ids = tokenizer.encode_source(WARM_UP_TEXT, source_lang=source_lang, target_lang=target_lang)
    request = SearchRequest(sequence_id, prompt, min(WARM_UP_TOKENS, model.max_new_tokens))
    return Sequence(request, model.index, tuple(source_ids))
