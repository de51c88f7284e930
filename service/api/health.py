"""`GET /health/live`, `/health/ready` and `/metrics`: 200.

`ready` is 503 while starting or draining, and `live` after a long time without any worker.
"""

from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import HealthAnswer
from service.api.encoding import JsonResponse
from service.api.openapi import DocumentedRoute, Operation
from service.errors import NotReadyError
from service.lifecycle import Lifecycle
from service.observability.metrics import CONTENT_TYPE

TAG = "operation"


class Readiness(Protocol):
    @property
    def is_ready(self) -> bool: ...
    @property
    def seconds_without_worker(self) -> float:
        """0 while a worker is ready, and during the first start."""


def check_ready(engine: Readiness, lifecycle: Lifecycle) -> None:
    """Raises DrainingError and NotReadyError."""
    lifecycle.check_open()
    if not engine.is_ready:
        raise NotReadyError("the workers are starting", retry_after_seconds=1)


def create_routes(
    engine: Readiness,
    lifecycle: Lifecycle,
    *,
    max_seconds_without_worker: float,
    render_metrics: Callable[[], bytes] | None,
) -> list[DocumentedRoute]:
    """Without `render_metrics` there is no `/metrics`."""

    async def live(_: Request) -> Response:
        absence_seconds = engine.seconds_without_worker
        if absence_seconds > max_seconds_without_worker:
            raise NotReadyError(f"no worker has been ready for {absence_seconds:.0f} s", retry_after_seconds=1)
        return JsonResponse(HealthAnswer())

    async def ready(_: Request) -> Response:
        check_ready(engine, lifecycle)
        return JsonResponse(HealthAnswer())

    routes = [
        DocumentedRoute(
            Operation(
                method="GET",
                path="/health/live",
                tag=TAG,
                summary="The process answers",
                description="503 asks for a restart: it has had no worker for long.",
                answer=HealthAnswer,
                problems=(503,),
            ),
            live,
        ),
        DocumentedRoute(
            Operation(
                method="GET",
                path="/health/ready",
                tag=TAG,
                summary="Requests are taken",
                description="Every worker has loaded its models and has decoded a warm-up sentence.",
                answer=HealthAnswer,
                problems=(503,),
            ),
            ready,
        ),
    ]
    return routes if render_metrics is None else [*routes, _metrics_route(render_metrics)]


def _metrics_route(render_metrics: Callable[[], bytes]) -> DocumentedRoute:
    async def metrics(_: Request) -> Response:
        return Response(render_metrics(), media_type=CONTENT_TYPE)

    return DocumentedRoute(
        Operation(method="GET", path="/metrics", tag=TAG, summary="Prometheus metrics", media_type=CONTENT_TYPE),
        metrics,
    )
