"""The composition root: builds the parts from the settings and puts them together."""

import importlib.metadata
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from model.config import CheckpointError, read_checkpoint
from model.hub import resolve_checkpoint
from model.tokenizer import Tokenizer, load_tokenizer
from service.api import catalogue, health, translations
from service.api.errors import install_error_handlers
from service.api.middleware import BodyLimit, RequestRecorder
from service.api.translations import TranslationService
from service.engine.client import EngineClient
from service.engine.placement import Placement, place_workers
from service.engine.types import Sequence, WorkerSpec
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.settings import BUNDLED_MODEL, Settings
from service.translator import Translator

BUNDLED_NAME = "kakehashi-bundled"
WARM_UP_TEXT = "1"
WARM_UP_TOKENS = 16
MAX_SOURCE_TOKENS = 512
"""A sentence's tokens, at most; KV caches reserve room for as many in each row."""


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
    directory = resolve_checkpoint(settings.model)
    name = BUNDLED_NAME if directory == BUNDLED_MODEL else settings.model
    try:
        checkpoint = read_checkpoint(directory, name=name)
        tokenizer = load_tokenizer(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"cannot serve {name}: {error}") from error
    max_source_tokens = min(checkpoint.config.max_positions, MAX_SOURCE_TOKENS)
    # A time stamp for each series would double the page.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    longest_prompt = max(len(prompt) for prompt in tokenizer.decoder_prompts.values())
    max_new_tokens = min(settings.max_new_tokens, checkpoint.generation.max_length - longest_prompt)
    if max_new_tokens < 1:
        raise CheckpointError(f"cannot serve {name}: max_length leaves no room after {longest_prompt} prompt tokens")
    if max_source_tokens <= tokenizer.num_source_specials:
        raise CheckpointError(f"cannot serve {name}: {max_source_tokens} positions leave no room for a source")
    if not any(tokenizer.targets_of(code) for code in tokenizer.source_languages):
        raise CheckpointError(f"cannot serve {name}: no language has a target")
    metrics = Metrics()
    lifecycle = Lifecycle()
    specs = [
        WorkerSpec(
            checkpoint_directory=str(directory),
            checkpoint_name=name,
            device=placement.device,
            compute_type=settings.compute_type,
            num_threads=placement.num_threads,
            max_rows=0 if settings.max_rows == "auto" else settings.max_rows,
            max_source_tokens=max_source_tokens,
            max_new_tokens=max_new_tokens,
            max_encode_tokens=settings.max_encode_tokens,
            max_bulk_wait_seconds=settings.max_bulk_wait_seconds,
            log_format=settings.log_format,
            log_level=settings.log_level,
        )
        for placement in _placements(settings)
    ]
    client = EngineClient(
        specs,
        max_queue_tokens=settings.max_queue_tokens,
        warm_up=lambda sequence_id: _warm_up_sequence(
            tokenizer, sequence_id, max_new_tokens=min(WARM_UP_TOKENS, max_new_tokens)
        ),
        metrics=metrics,
        on_loaded=lambda info: metrics.describe_build(version=version(), model=name, info=info),
        on_fatal=on_fatal,
    )
    translator = Translator(
        checkpoint,
        tokenizer,
        client,
        max_source_tokens=max_source_tokens,
        max_new_tokens=max_new_tokens,
        max_queue_tokens=settings.max_queue_tokens,
        metrics=metrics,
    )
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
        yield
        await client.aclose()

    app = FastAPI(title="Kakehashi", version=version(), lifespan=lifespan)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestRecorder, metrics=metrics)
    install_error_handlers(app)
    app.include_router(translations.create_router(translation_service))
    app.include_router(catalogue.create_router(translator, client))
    app.include_router(health.create_router(client, lifecycle, metrics))
    return Service(app, client, lifecycle)


def version() -> str:
    return importlib.metadata.version("kakehashi")


def _placements(settings: Settings) -> list[Placement]:
    return place_workers(
        device=settings.device,
        num_workers=None if settings.workers == "auto" else settings.workers,
        num_threads=None if settings.threads_per_worker == "auto" else settings.threads_per_worker,
        num_cores=len(os.sched_getaffinity(0)),
        num_gpus=_count_gpus(),
    )


def _count_gpus() -> int:
    """CUDA devices, as the driver's device files show them; asking torch would load it into this process."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return 0
    return len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdecimal()])


def _warm_up_sequence(tokenizer: Tokenizer, sequence_id: int, *, max_new_tokens: int) -> Sequence:
    source_lang = next(code for code in tokenizer.source_languages if tokenizer.targets_of(code))
    target_lang = tokenizer.targets_of(source_lang)[0]
    return Sequence(
        sequence_id=sequence_id,
        source_ids=tuple(tokenizer.encode_source(WARM_UP_TEXT, source_lang=source_lang, target_lang=target_lang)),
        decoder_prompt=tuple(tokenizer.decoder_prompt(target_lang)),
        max_new_tokens=max_new_tokens,
    )
