"""Keys, CORS and refusals of the ingress of a Ray deployment, before it looks for a checkpoint."""

import warnings
from typing import Any

import pytest
from starlette.types import ASGIApp

from deploy.ray.checkpoint_routes import ListedCheckpoint
from tests.support.asgi import call, post

ORIGIN = "https://page.example"


@pytest.fixture(scope="module")
def app() -> ASGIApp:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of Ray's, while it is imported
        from deploy.ray.ingress import Ingress

        patch.setenv("KAKEHASHI_API_KEYS", "alice:s3cret")
        patch.setenv("KAKEHASHI_CORS_ORIGINS", ORIGIN)
        patch.setattr("deploy.ray.ingress.configure_logging", lambda **_: None)
        host: Any = None  # no request gets as far as a replica
        pairs = (("en", "de"), ("de", "en"))
        checkpoints = [ListedCheckpoint(model="org/{source}-{target}", pairs=pairs)]
        undecorated = Ingress.__bases__[0]
        app: ASGIApp = undecorated(host, checkpoints).__serve_build_asgi_app__()
    return app


@pytest.mark.parametrize("path", ["/v1/languages", "/v1/models", "/v1/translations/stream", "/v1/nowhere"])
async def test_the_native_api_of_a_deployment_needs_a_key(app: ASGIApp, path: str) -> None:
    answer = await call(app, "GET", path)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_preflight_of_a_deployment_needs_no_key(app: ASGIApp) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    answer = await call(app, "OPTIONS", "/v1/translations", headers=headers)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)


async def test_a_key_opens_the_native_api_of_a_deployment(app: ASGIApp) -> None:
    key = {"authorization": "Bearer s3cret"}
    assert (await call(app, "GET", "/v1/languages", headers=key)).status == 200
    unknown = {"text": "Hello", "source_lang": "en", "target_lang": "zz"}
    assert (await post(app, "/v1/translations", unknown)).status == 401
    assert (await post(app, "/v1/translations", unknown, **key)).status == 400
    assert (await call(app, "GET", "/health/live")).status == 200


@pytest.mark.parametrize(
    ("path", "status", "fields"),
    [
        ("/translate", 400, {"error"}),
        ("/v2/translate", 413, {"message"}),
        ("/", 422, {"error", "error_type"}),
        ("/generate_stream", 422, {"error", "error_type"}),
    ],
)
async def test_what_a_deployment_refuses_itself_has_the_shape_of_each_api(
    app: ASGIApp, path: str, status: int, fields: set[str]
) -> None:
    answer = await call(app, "POST", path, headers={"content-length": str(2 << 20)})
    assert (answer.status, answer.json.keys()) == (status, fields)
