"""Laws of the port for operation, and of parts that are switched off. The app sees requests at port 2 of a machine."""

import pytest

from tests.support.asgi import call
from tests.support.scripted_app import ScriptedApp, scripted_app

HEALTH = ["/health/live", "/health/ready", "/health"]
MOVED = ["/metrics", "/docs", "/docs/start.js", "/openapi.json"]
SERVED = ["/", "/v1/languages", "/languages", "/playground/main.js"]
AT_PORT = 2


async def statuses(served: ScriptedApp, paths: list[str]) -> set[int]:
    return {(await call(served.app, "GET", path)).status for path in paths}


async def test_the_port_for_operation_has_nothing_else():
    served = scripted_app(operation_port=AT_PORT)
    assert await statuses(served, HEALTH + MOVED) == {200}
    assert await statuses(served, [*SERVED, "/nowhere", "/docsx"]) == {404}


async def test_the_other_port_no_longer_has_metrics_and_documentation():
    served = scripted_app(operation_port=AT_PORT + 1)
    assert await statuses(served, HEALTH + SERVED) == {200}
    assert await statuses(served, MOVED) == {404}


async def test_a_refusal_at_a_port_has_the_shape_of_its_api():
    answer = await call(scripted_app(operation_port=AT_PORT).app, "GET", "/v1/languages")
    assert (answer.json["type"], answer.json["detail"]) == ("urn:kakehashi:problem:not-found", "Not Found")


@pytest.mark.parametrize(
    ("closed", "paths"),
    [("docs", ["/docs", "/docs/start.js", "/openapi.json"]), ("metrics", ["/metrics"])],
)
async def test_what_is_switched_off_is_not_found(closed: str, paths: list[str]):
    served = scripted_app(has_docs=closed != "docs", has_metrics=closed != "metrics")
    assert await statuses(served, paths) == {404}
    assert await statuses(served, HEALTH + SERVED) == {200}
    assert await statuses(served, ["/redoc", "/docs/oauth2-redirect"]) == {404}
