"""`GET /health/live`, `/health/ready` and `/metrics`: 200, or 503 from `ready` while starting or draining."""

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


def check_ready(engine: Readiness, lifecycle: Lifecycle) -> None:
    """Raises DrainingError and NotReadyError."""
    lifecycle.check_open()
    if not engine.is_ready:
        raise NotReadyError("the workers are starting", retry_after_seconds=1)


def create_routes(
    engine: Readiness, lifecycle: Lifecycle, *, render_metrics: Callable[[], bytes] | None
) -> list[DocumentedRoute]:
    """Without `render_metrics` there is no `/metrics`."""

    async def live(_: Request) -> Response:
        return JsonResponse(HealthAnswer())

    async def ready(_: Request) -> Response:
        check_ready(engine, lifecycle)
        return JsonResponse(HealthAnswer())

    routes = [
        DocumentedRoute(
            Operation(method="GET", path="/health/live", tag=TAG, summary="The process answers", answer=HealthAnswer),
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
