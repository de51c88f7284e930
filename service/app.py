"""The composition root: builds the parts from the settings and puts them together."""

import asyncio
import importlib.metadata
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import CheckpointError, read_checkpoint
from model.checkpoint.hub import resolve_checkpoint
from model.search.spec import DecodeSpec
from model.tokenizers.loading import load_tokenizer
from service.api.access_log import AccessLog
from service.api.admission import Limits
from service.api.api_keys import ApiKeys
from service.api.app import create_app
from service.api.body_limit import BodyPace
from service.api.connections import ConnectionLimits
from service.api.key_entries import ApiKeysError, parse_list
from service.api.key_file import KeyFile
from service.cache.encoder_cache import EncoderCache, EncoderIdentity
from service.cache.memory import MemoryTier
from service.cache.observer import CacheObserver
from service.cache.values import OutputFormat
from service.engine.engine import Engine
from service.engine.fork_server_process import ForkServerProcess, WorkerStartError
from service.engine.machine import count_usable_cores, count_visible_gpus, find_gpus, read_text
from service.engine.placement import Placement, place_workers
from service.engine.types import CheckpointInfo, CheckpointSpec, WorkerSpec
from service.errors import UnsupportedLanguageError
from service.glossaries.memory_store import MemoryGlossaries
from service.lifecycle import Lifecycle
from service.observability.cache_telemetry import CacheTelemetry
from service.observability.engine_telemetry import EngineTelemetry
from service.observability.log import take_over
from service.observability.log_writer import LogWriter
from service.observability.metrics import Metrics
from service.observability.request_telemetry import RequestTelemetry
from service.observability.tracing import TracingError, start_tracing
from service.observability.translation_telemetry import TranslationTelemetry
from service.settings import Settings, SettingsError, variable_name
from service.text.language_detector import LanguageDetector
from service.translation.language_pair import LanguagePair, default_pair
from service.translation.routing import Catalogue, ServedModel
from service.translation.translator import Translator
from service.version import version

if TYPE_CHECKING:
    from service.cache.redis_client import RedisClient
    from service.cache.redis_tier import RedisTier
    from service.glossaries.redis_store import RedisGlossaries
    from service.observability.spans import Tracing
    from service.rates.rate_limits import RateLimits

logger = logging.getLogger(__name__)

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
BUNDLED_NAME = "kakehashi-bundled"
WARM_UP_TEXT = "1"
WARM_UP_TOKENS = 16
MAX_SOURCE_TOKENS = 512
"""The maximum number of tokens of a sentence; KV caches reserve room for them in every row."""
MAX_PENDING_REDIS_BYTES = 32 << 20
"""The maximum bytes of encoder outputs waiting to be written to Redis; further outputs are dropped."""


@dataclass(frozen=True, slots=True)
class Service:
    """The app, with the parts that the server needs to start and stop it."""

    app: FastAPI
    connection_limits: ConnectionLimits
    engine: Engine
    lifecycle: Lifecycle


def build_service(
    settings: Settings, *, on_fatal: Callable[[WorkerStartError], None], log_writer: LogWriter | None = None
) -> Service:
    """Read the checkpoints' configurations and tokenizers; the workers load the weights when the app starts.

    Raises CheckpointError and SettingsError. `on_fatal` is called with the cause when the workers' first start fails.
    """
    api_keys = read_api_keys(settings)
    models = [read_model(reference, settings) for reference in settings.model_references]
    take_over("transformers")
    # Creation times of all series would double the size of the page.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics = Metrics()
    if log_writer is not None:
        log_writer.observe_drops(metrics.log_lines_dropped.inc)
    tracing = _start_tracing()
    cache_telemetry = CacheTelemetry(metrics)
    redis = _connect_redis(settings, cache_telemetry)
    cache = _build_cache(settings, redis, cache_telemetry)
    redis_glossaries = _connect_glossaries(settings)
    rate_limits = _build_rate_limits(settings, cache_telemetry) if api_keys.is_required else None

    def describe(infos: Sequence[CheckpointInfo]) -> None:
        by_name = {info.name: info for info in infos}
        for model in models:
            model_type = model.checkpoint.config.model_type
            info = by_name[model.name]
            metrics.describe_build(
                version=version(),
                model=model.name,
                model_type=model_type,
                device=info.device,
                compute_type=info.compute_type,
                isa=info.isa,
                fingerprint=info.fingerprint,
            )
        cache.describe({model.name: _identity(model, by_name[model.name]) for model in models})

    engine_telemetry = EngineTelemetry(metrics)
    engine = Engine(
        _worker_specs(settings, models, needs_fingerprint=cache.min_tokens is not None),
        fork_server=ForkServerProcess(),
        cache=cache,
        max_queue_tokens=settings.max_queue_tokens,
        max_silence_seconds=settings.worker_timeout_seconds,
        max_load_seconds=settings.max_load_seconds,
        observer=engine_telemetry,
        on_loaded=describe,
        on_fatal=on_fatal,
    )
    engine_telemetry.watch(engine)
    catalogue = Catalogue(models)
    default_pair = read_default_pair(settings, catalogue)
    translator = Translator(
        catalogue,
        LanguageDetector(catalogue.source_languages()),
        engine,
        max_answer_bytes=settings.max_answer_bytes,
        observer=TranslationTelemetry(metrics),
    )
    lifecycle = Lifecycle()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        if redis is not None:
            redis.start()
        yield
        translator.close()
        # Close concurrently: closing a part may take a second or two of the remaining grace period.
        others = [each.aclose() for each in (redis, redis_glossaries, rate_limits, tracing) if each is not None]
        await asyncio.gather(engine.aclose(), *others)

    app = create_app(
        translator=translator,
        catalogue=catalogue,
        engine=engine,
        lifecycle=lifecycle,
        observer=RequestTelemetry(metrics),
        render_metrics=metrics.render if settings.metrics else None,
        limits=_limits(settings),
        max_body_bytes=settings.max_body_bytes,
        body_pace=body_pace(settings),
        version=version(),
        default_pair=default_pair,
        api_keys=api_keys,
        glossaries=redis_glossaries or MemoryGlossaries(max_glossaries=settings.max_glossaries),
        rate_limiter=rate_limits,
        cors_origins=settings.cors_origin_list,
        allowed_hosts=allowed_hosts(settings),
        operation_port=settings.operation_port or None,
        has_docs=settings.docs,
        has_playground=settings.playground,
        lifespan=lifespan,
        max_seconds_without_worker=settings.max_seconds_without_worker,
        access_log=AccessLog(with_texts=settings.log_texts) if settings.access_log else None,
        tracing=tracing,
    )
    return Service(app, _connection_limits(settings), engine, lifecycle)


def read_api_keys(settings: Settings) -> ApiKeys:
    """Raises SettingsError."""
    listed, path = settings.api_keys.get_secret_value(), settings.api_keys_file
    name, file_name = variable_name("api_keys"), variable_name("api_keys_file")
    if listed and path:
        raise SettingsError(f"{name} and {file_name} are both set: keep one of them")
    try:
        if path:
            return ApiKeys(KeyFile(Path(path)).current)
        if listed:
            keys = parse_list(listed)
            return ApiKeys(lambda: keys)
    except ApiKeysError as error:
        raise SettingsError(f"{file_name if path else name}: {error}") from error
    if not _is_loopback(settings.host):
        logger.warning("no API keys are set: everyone who reaches %s can use this server", settings.host)
    return ApiKeys()


def allowed_hosts(settings: Settings) -> list[str] | None:
    """The hosts that requests may name; None is any."""
    listed = settings.allowed_host_list
    if listed == ["auto"]:
        return [*LOOPBACK_HOSTS, settings.host.lower()] if _is_loopback(settings.host) else None
    return None if "*" in listed else listed


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_model(reference: str, settings: Settings) -> ServedModel:
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
    return ServedModel(checkpoint, tokenizer, max_source_tokens, max_source_pieces, max_new_tokens)


def read_default_pair(settings: Settings, catalogue: Catalogue) -> LanguagePair:
    """Raises SettingsError for languages that are not served."""
    try:
        return default_pair(
            catalogue, source_lang=settings.default_source_lang, target_lang=settings.default_target_lang
        )
    except UnsupportedLanguageError as error:
        names = f"{variable_name('default_source_lang')} and {variable_name('default_target_lang')}"
        raise SettingsError(f"{names}: {error}") from error


def body_pace(settings: Settings) -> BodyPace:
    return BodyPace(settings.arrival_seconds, settings.min_body_bytes_per_second)


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        max_connections=settings.max_connections,
        max_head_bytes=settings.max_head_bytes,
        max_headers=settings.max_headers,
        arrival_seconds=settings.arrival_seconds,
        stall_seconds=settings.stall_seconds,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_requests=settings.max_requests,
        max_texts=settings.max_texts,
        max_text_characters=settings.max_text_characters,
        max_answer_bytes=settings.max_answer_bytes,
        timeout_seconds=settings.timeout_seconds,
        retry_linger_seconds=settings.retry_linger_seconds,
    )


def _build_cache(settings: Settings, redis: "RedisTier | None", observer: CacheObserver) -> EncoderCache:
    memory = MemoryTier(max_bytes=settings.cache_bytes, ttl_seconds=settings.cache_ttl_seconds)
    return EncoderCache(
        memory if settings.cache_bytes else None,
        redis,
        min_memory_tokens=settings.cache_min_tokens,
        min_shared_tokens=settings.redis_min_tokens,
        observer=observer,
        clock=time.monotonic,
    )


def _connect_redis(settings: Settings, observer: CacheObserver) -> "RedisTier | None":
    """Raises SettingsError for an unusable URL. Does not connect yet."""
    if not settings.redis_url:
        return None
    from service.cache.redis_tier import RedisTier  # imported only if used: it takes memory

    timeout_seconds = settings.redis_timeout_milliseconds / 1000
    return RedisTier(
        _redis_client(settings, timeout_seconds=timeout_seconds),
        ttl_seconds=settings.cache_ttl_seconds,
        timeout_seconds=timeout_seconds,
        max_pending_bytes=MAX_PENDING_REDIS_BYTES,
        observer=observer,
    )


def _connect_glossaries(settings: Settings) -> "RedisGlossaries | None":
    """Raises SettingsError for an unusable URL. Does not connect yet."""
    if not settings.redis_url:
        return None
    from service.glossaries.redis_store import TIMEOUT_SECONDS, RedisGlossaries

    client = _redis_client(settings, timeout_seconds=TIMEOUT_SECONDS)
    return RedisGlossaries(client, max_glossaries=settings.max_glossaries)


def _build_rate_limits(settings: Settings, observer: CacheObserver) -> "RateLimits":
    from service.rates.rate_limits import RateLimits  # imported only if used: it takes a tenth of a second
    from service.rates.redis_counts import RedisCounts

    if not settings.redis_url:
        return RateLimits()
    timeout_seconds = settings.redis_timeout_milliseconds / 1000
    client = _redis_client(settings, timeout_seconds=timeout_seconds)
    return RateLimits(RedisCounts(client, timeout_seconds=timeout_seconds, observer=observer))


def _redis_client(settings: Settings, *, timeout_seconds: float) -> "RedisClient":
    from service.cache.redis_client import connect

    try:
        return connect(settings.redis_url, timeout_seconds=timeout_seconds)
    except ValueError as error:
        raise SettingsError(f"{variable_name('redis_url')}: {error}") from error


def _start_tracing() -> "Tracing | None":
    """Raises SettingsError."""
    try:
        return start_tracing(os.environ, version=version())
    except TracingError as error:
        raise SettingsError(str(error)) from error


def _identity(model: ServedModel, info: CheckpointInfo) -> EncoderIdentity:
    output_format = OutputFormat(info.encoder_dtype, model.checkpoint.config.d_model)
    return EncoderIdentity(info.fingerprint, info.compute_type, output_format)


def _worker_specs(settings: Settings, models: Sequence[ServedModel], *, needs_fingerprint: bool) -> list[WorkerSpec]:
    checkpoints = [_checkpoint_spec(model) for model in models]
    placements = _placements(settings)
    num_workers = Counter(placement.device for placement in placements)
    return [
        WorkerSpec(
            checkpoints=checkpoints,
            device=placement.device,
            compute_type=settings.compute_type,
            num_threads=placement.num_threads,
            max_rows=0 if settings.max_rows == "auto" else settings.max_rows,
            max_encode_tokens=settings.max_encode_tokens,
            max_bulk_wait_seconds=settings.max_bulk_wait_seconds,
            needs_fingerprint=needs_fingerprint,
            gpu_memory_fraction=settings.gpu_memory_fraction / num_workers[placement.device],
            log_format=settings.log_format,
            log_level=settings.log_level,
            isa=settings.isa,
        )
        for placement in placements
    ]


def _checkpoint_spec(model: ServedModel) -> CheckpointSpec:
    tokenizer = model.tokenizer
    source_lang = next(code for code in tokenizer.source_languages if tokenizer.targets_of(code))
    target_lang = tokenizer.targets_of(source_lang)[0]
    warm_up = DecodeSpec(
        checkpoint=model.name,
        source_ids=tuple(tokenizer.encode_source(WARM_UP_TEXT, source_lang=source_lang, target_lang=target_lang)),
        decoder_prompt=tuple(tokenizer.decoder_prompt(target_lang)),
        max_new_tokens=min(WARM_UP_TOKENS, model.max_new_tokens),
    )
    longest_prompt = max(len(prompt) for prompt in tokenizer.decoder_prompts.values())
    return CheckpointSpec(
        directory=str(model.checkpoint.directory),
        name=model.name,
        max_source_tokens=model.max_source_tokens,
        max_target_tokens=longest_prompt + model.max_new_tokens,
        warm_up=warm_up,
    )


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
