"""The service in this process, without a port: the same app and workers as `kakehashi serve`."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import httpx2

from model.checkpoint.config import CheckpointError
from service.app import build_service
from service.commandline.arguments import API_KEY_VARIABLE
from service.commandline.asgi_transport import AsgiTransport
from service.commandline.errors import CommandError, ExitStatus
from service.engine.fork_server_process import WorkerStartError
from service.observability.log import configure_logging
from service.settings import Settings, SettingsError, load_settings


@asynccontextmanager
async def in_process_client(model: str | None, *, needs_workers: bool) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service in this process, yielded once all workers are ready.

    With `needs_workers` false no workers start, and the service can only list and detect languages.
    Raises CommandError for settings or a checkpoint that cannot be used.
    """
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_fatal(cause: WorkerStartError) -> None:
        if not failed.done():
            failed.set_exception(CommandError(str(cause)))

    with _refused():
        service = build_service(_settings(model), on_fatal=on_fatal)
    async with AsyncExitStack() as stack:
        if needs_workers:
            await stack.enter_async_context(service.app.router.lifespan_context(service.app))
            await _first_of(service.engine.wait_ready(), failed)
        transport = AsgiTransport(service.app)
        yield await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://in-process"))


async def _first_of(work: Coroutine[None, None, None], failed: asyncio.Future[None]) -> None:
    """Await `work`, or raise the exception of `failed` if that comes first."""
    working = asyncio.create_task(work)
    try:
        await asyncio.wait([working, failed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
    if failed.done():
        failed.result()


def _settings(model: str | None) -> Settings:
    """The settings of the environment, with quiet logs and without API keys and hosts, which only a port needs.

    Raises SettingsError.
    """
    environment = {name: value for name, value in os.environ.items() if name != API_KEY_VARIABLE}
    flags = {
        "log_format": "text",
        "log_level": "warning",
        "access_log": "false",
        "api_keys": "",
        "api_keys_file": "",
        "allowed_hosts": "*",
    }
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
