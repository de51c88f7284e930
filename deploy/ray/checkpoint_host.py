"""The replicas that translate. A replica holds the few checkpoints that were used last, with an app for each.

A request arrives as plain data. The answer is batches of ASGI messages, which the ingress passes on.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing

import ray
from ray import serve
from starlette.types import Message

from deploy.ray.exchange import AppRequest
from deploy.ray.resident import Resident
from deploy.ray.shared_load import SharedLoad
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import CheckpointError
from service.app import BUNDLED_NAME
from service.observability.log import configure_logging
from service.settings import Settings, load_settings

logger = logging.getLogger(__name__)


class ModelUnavailableError(Exception):
    """A checkpoint that could not be loaded; the replica's log has the reason."""


class CheckpointHost:
    """The ingress calls `answer` and `metrics` through Serve."""

    def __init__(self, *, max_models: int) -> None:
        """Raises SettingsError."""
        settings = load_settings()
        configure_logging(log_format=settings.log_format, log_level=settings.log_level, with_texts=settings.log_texts)
        self._residents: dict[str, Resident] = {}
        self._loads: dict[str, SharedLoad] = {}

        @serve.multiplexed(max_num_models_per_replica=max_models)  # type: ignore[untyped-decorator]
        async def resident(model: str) -> Resident:
            return await self._load(model)

        self._resident: Callable[[str], Awaitable[Resident]] = resident
        # See Resident: Serve awaits it when the replica ends.
        self.__del__ = self._aclose

    async def answer(self, request: AppRequest) -> AsyncGenerator[list[Message], None]:
        """Raises ModelUnavailableError."""
        with ExitStack() as stack:
            resident = await self._use(serve.get_multiplexed_model_id(), stack)
            async with aclosing(resident.answer(request)) as batches:
                async for batch in batches:
                    yield batch

    async def metrics(self) -> tuple[str, dict[str, str]]:
        """The replica's name, and the Prometheus page of each checkpoint that it holds."""
        pages = {model: await each.metrics() for model, each in self._residents.items() if not each.is_closing}
        return serve.get_replica_context().replica_id.unique_id, pages

    async def _use(self, model: str, stack: ExitStack) -> Resident:
        held = self._residents.get(model)
        if held is None or held.is_closing:
            if model not in self._loads:
                self._loads[model] = SharedLoad(lambda: self._resident(model), on_over=lambda: self._forget(model))
            return await self._loads[model].join(stack)
        resident = await self._resident(model)  # does not wait, and marks it as the last used
        stack.enter_context(resident.in_use())
        return resident

    def _forget(self, model: str) -> None:
        del self._loads[model]

    async def _load(self, model: str) -> Resident:
        self._residents = {name: each for name, each in self._residents.items() if not each.is_closing}
        try:
            resident = await Resident.start(replica_settings(model))
        except CheckpointError as error:
            logger.error("%s cannot be loaded: %s", model, error)
            raise ModelUnavailableError(model) from None
        self._residents[model] = resident
        return resident

    async def _aclose(self) -> None:
        for resident in self._residents.values():
            await resident.aclose()


def replica_settings(model: str) -> Settings:
    """The settings of the environment; if it leaves them open, workers and device match the replica's resources."""
    given = load_settings()
    resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    has_gpu = resources.get("GPU", 0) > 0
    flags = {"model": str(BUNDLED_MODEL) if model == BUNDLED_NAME else model}
    # The ingress collects the metrics, and decides which hosts and ports are served.
    flags |= {"metrics": "true", "operation_port": "0", "allowed_hosts": "*"}
    if given.device == "auto":
        flags["device"] = "cuda:0" if has_gpu else "cpu"  # Ray shows a replica only its own GPU
    if given.workers == "auto":
        flags["workers"] = "1" if has_gpu else str(max(1, int(resources.get("CPU", 1))))
    if given.threads_per_worker == "auto":
        flags["threads_per_worker"] = "1"
    return load_settings(flags=flags)
