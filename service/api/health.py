"""`GET /health/live`, `/health/ready` and `/metrics`: 200, or 503 from `ready` while starting or draining."""

from fastapi import APIRouter
from fastapi.responses import Response

from service.api.schemas import HealthAnswer
from service.engine.client import EngineClient
from service.errors import DrainingError, NotReadyError
from service.lifecycle import Lifecycle
from service.observability.metrics import CONTENT_TYPE, Metrics


def create_router(client: EngineClient, lifecycle: Lifecycle, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.head("/health/live", include_in_schema=False)
    @router.get("/health/live")
    async def live() -> HealthAnswer:
        """The process answers."""
        return HealthAnswer("ok")

    @router.head("/health/ready", include_in_schema=False)
    @router.get("/health/ready")
    async def ready() -> HealthAnswer:
        """Every worker has loaded the model and decoded a warm-up sentence, and requests are taken."""
        if lifecycle.is_draining:
            raise DrainingError("the server is shutting down", retry_after_seconds=5)
        if not client.is_ready:
            raise NotReadyError("the workers are starting", retry_after_seconds=1)
        return HealthAnswer("ok")

    @router.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Prometheus text."""
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return router
