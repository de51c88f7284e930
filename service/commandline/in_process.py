"""The service in this process, without a port: the same app and workers as `kakehashi serve`."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import msgspec

from model.checkpoint.config import CheckpointError
from service.api.listings import languages_answer
from service.app import build_service, read_model
from service.commandline.arguments import API_KEY_VARIABLE
from service.commandline.asgi_transport import AsgiTransport
from service.commandline.errors import CommandError, ExitStatus
from service.observability.log import configure_logging
from service.settings import Settings, SettingsError, load_settings
from service.translation.routing import Catalogue


@asynccontextmanager
async def in_process_client(model: str | None) -> AsyncIterator[httpx2.AsyncClient]:
    """Once all workers are ready. Raises CommandError for settings or a checkpoint that cannot be used."""
    failed = asyncio.get_running_loop().create_future()

    def on_fatal(cause: str) -> None:
        if not failed.done():
            failed.set_exception(CommandError(cause))

    with _refused():
        service = build_service(_settings(model), on_fatal=on_fatal)
    async with service.app.router.lifespan_context(service.app):
        ready = asyncio.ensure_future(service.engine.wait_ready())
        await asyncio.wait([ready, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            ready.cancel()
            failed.result()
        async with httpx2.AsyncClient(transport=AsgiTransport(service.app), base_url="http://in-process") as http:
            yield http


def languages(model: str | None) -> Any:
    """As `GET /v1/languages` lists them, without loading weights. Raises CommandError as above."""
    with _refused():
        settings = _settings(model)
        catalogue = Catalogue([read_model(reference, settings) for reference in settings.model_references])
    return msgspec.to_builtins(languages_answer(catalogue.languages()).languages)


def _settings(model: str | None) -> Settings:
    """Those of the environment, quiet. Raises SettingsError."""
    environment = {name: value for name, value in os.environ.items() if name != API_KEY_VARIABLE}
    flags = {"log_format": "text", "log_level": "warning", "access_log": "false"}
    settings = load_settings(environment, flags=flags if model is None else flags | {"model": model})
    configure_logging(log_format=settings.log_format, log_level=settings.log_level)
    return settings


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise CommandError(str(error), status=ExitStatus.USAGE) from error
    except CheckpointError as error:
        raise CommandError(str(error)) from error
