"""An unexpected error is a problem too, with the request's id and without any detail of the error."""

import httpx
from fastapi import FastAPI

from service.api.errors import install_error_handlers
from service.api.middleware import RequestRecorder
from service.observability.metrics import Metrics
from service.observability.request_telemetry import RequestTelemetry


async def test_an_unforeseen_error_is_a_problem_with_the_request_id():
    app = FastAPI()
    metrics = Metrics()
    install_error_handlers(app)
    app.add_middleware(RequestRecorder, observer=RequestTelemetry(metrics))

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/broken", headers={"X-Request-ID": "mine"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "mine")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == "mine"
    assert "secret" not in response.text
    assert 'outcome="error"' in metrics.render().decode()
