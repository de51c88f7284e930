"""Forward a request to a replica, and to another one if that replica dies.

A request is repeated as long as no byte of its answer has been sent. That is safe: a translation changes nothing on the
server, and a plain answer is sent as a whole. A stream that has begun ends with one `error` event, never silently.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from starlette.types import Message, Send

from deploy.ray.checkpoint_host import CheckpointHost, ModelUnavailableError
from deploy.ray.exchange import AppRequest
from deploy.ray.held_answer import HeldAnswer
from service.api.encoding import encode_json
from service.api.errors import NATIVE, record_failure, refusal_of
from service.api.record import RequestRecord
from service.api.sse import encode_data, encode_event
from service.errors import EngineFailedError, NotReadyError, QueueFullError

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3


class ReplicaLostError(Exception):
    """The replica died, cannot be reached, or left its answer unfinished."""


class Forwarder:
    """`max_wait_seconds` limits the wait for a replica, its checkpoint and the first byte of the answer in total."""

    def __init__(self, host: DeploymentHandle[CheckpointHost], *, max_wait_seconds: float) -> None:
        self._host = host
        self._max_wait_seconds = max_wait_seconds

    async def forward(self, request: AppRequest, model: str, record: RequestRecord, send: Send) -> None:
        """Raises QueueFullError or NotReadyError before the first byte. Cancelling it cancels the request."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            answer = HeldAnswer(send)
            try:
                await self._attempt(request, model, answer)
            except ReplicaLostError as error:
                logger.warning("request %s, attempt %d: %s", record.request_id, attempt, error)
                if answer.has_begun:
                    await _end(answer, EngineFailedError("the replica died; repeat the request"), record)
                elif attempt < MAX_ATTEMPTS:
                    continue
                else:
                    raise NotReadyError("no replica is alive", retry_after_seconds=1) from error
            except Exception as error:
                if not answer.has_begun:
                    raise _refusal(error, model) from error
                await _end(answer, error, record)
            return

    async def _attempt(self, request: AppRequest, model: str, answer: HeldAnswer) -> None:
        async with asyncio.timeout(self._max_wait_seconds) as waiting, aclosing(self._ask(request, model)) as messages:
            async for message in messages:
                await answer.add(message)
                if answer.has_begun:
                    waiting.reschedule(None)
        if not answer.is_whole:
            raise ReplicaLostError("the answer is incomplete")

    async def _ask(self, request: AppRequest, model: str) -> AsyncGenerator[Message, None]:
        host = self._host.options(method_name="answer", stream=True, multiplexed_model_id=model)
        batches = host.remote(request)
        assert isinstance(batches, DeploymentResponseGenerator)
        is_over = False
        try:
            async for batch in batches:
                for message in batch:
                    yield message
            is_over = True
        except (RayTaskError, TaskCancelledError):  # raised by the replica itself
            raise
        except RayError as error:
            raise ReplicaLostError(type(error).__name__) from error
        finally:
            if not is_over:
                batches.cancel()  # type: ignore[no-untyped-call]


async def _end(answer: HeldAnswer, error: Exception, record: RequestRecord) -> None:
    """End the answer with an error event, whatever the error."""
    record_failure(error, record)
    data = encode_json(record.dialect.body(refusal_of(error, request_id=record.request_id)))
    # Hugging Face's streams, the only ones of a compatible API, have events without names.
    await answer.end_with(encode_event(b"error", data) if record.dialect is NATIVE else encode_data(data))


def _refusal(error: Exception, model: str) -> Exception:
    match error:
        case BackPressureError():
            return QueueFullError("too many requests are waiting for a replica", retry_after_seconds=1)
        case ModelUnavailableError():
            return NotReadyError(f"{model} cannot be loaded", retry_after_seconds=30)
        case DeploymentUnavailableError() | TimeoutError():
            return NotReadyError(f"no replica is ready to serve {model}", retry_after_seconds=5)
    return error
