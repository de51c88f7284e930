"""The ingress: finds the checkpoint of a request and forwards the request to a replica.

API keys are checked here and, where the request goes on, again by the app.

It answers `/v1/languages`, `/v1/models`, `/health/…` and `/metrics` for the whole deployment. The app answers all else,
including problems; requests that name no languages go to the first listed checkpoint, and so do those to compatible
APIs, whose dialects the ingress uses for its own refusals.
400 for a pair that no listed checkpoint has, 429 when too many requests wait, 503 when no replica is ready.
"""

import asyncio

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.ray.checkpoint_host import CheckpointHost
from deploy.ray.checkpoint_routes import CheckpointRoutes, ListedCheckpoint
from deploy.ray.exchange import AppRequest
from deploy.ray.fields import read_asked
from deploy.ray.fleet_metrics import Page, merge_pages
from deploy.ray.forwarding import Forwarder
from service.api.answers import HealthAnswer
from service.api.body_limit import BodyLimit
from service.api.cors import Cors
from service.api.deepl.errors import DIALECT as DEEPL
from service.api.dialect import Dialect
from service.api.dialect_index import DialectIndex
from service.api.encoding import JsonResponse
from service.api.errors import ClientGoneError, install_error_handlers
from service.api.header_keys import HeaderKeys
from service.api.huggingface.errors import DIALECT as HUGGINGFACE
from service.api.libretranslate.errors import DIALECT as LIBRETRANSLATE
from service.api.listings import languages_answer
from service.api.middleware import RequestRecorder
from service.api.openapi import App
from service.api.reading import read_body
from service.api.record import record_of
from service.api.sse import until_gone
from service.app import body_pace, read_api_keys
from service.errors import NotReadyError
from service.observability.log import configure_logging
from service.observability.metrics import CONTENT_TYPE, Metrics
from service.observability.request_telemetry import RequestTelemetry
from service.settings import load_settings

COMPATIBLE = DialectIndex(
    (), {"/v2/": DEEPL, "/translate": LIBRETRANSLATE, "/detect": LIBRETRANSLATE, "/generate": HUGGINGFACE}
)
CHECKPOINT_HOST = "CheckpointHost"
LOOK_SECONDS = 5.0
"""The time that replicas have to return their metrics."""
REQUEST_ID = "x-request-id"
HOP_BY_HOP = (b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"x-request-id")
"""Headers that belong to the connection, or that are set again."""


@serve.ingress()
class Ingress:
    def __init__(self, host: DeploymentHandle[CheckpointHost], checkpoints: list[ListedCheckpoint]) -> None:
        """Raises SettingsError."""
        self._host = host
        self._routes = CheckpointRoutes(checkpoints)
        self._settings = load_settings()
        configure_logging(log_format=self._settings.log_format, log_level=self._settings.log_level)
        max_wait_seconds = self._settings.timeout_seconds + self._settings.grace_seconds
        self._forwarder = Forwarder(host, max_wait_seconds=max_wait_seconds)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        native: ASGIApp = Router(
            [Route("/languages", self._languages), Route("/models", self._models), Mount("/", self._forward)]
        )
        if (keys := read_api_keys(self._settings)).is_required:
            native = HeaderKeys(native, keys=keys)
        app = App(
            openapi_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False},
            routes=[
                Mount("/v1", native),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/metrics", self._metrics if self._settings.metrics else _not_found),
                Mount("/", self._forward),
            ],
        )
        install_error_handlers(app)
        app.add_middleware(BodyLimit, max_bytes=self._settings.max_body_bytes, pace=body_pace(self._settings))
        if origins := self._settings.cors_origin_list:
            app.add_middleware(Cors, origins=origins)
        app.add_middleware(RequestRecorder, observer=RequestTelemetry(Metrics()), dialect_of=_dialect_of)
        app.add_middleware(OneRequestId)
        return app

    async def _languages(self, _: Request) -> Response:
        return JsonResponse(languages_answer(self._routes.languages()))

    async def _models(self, _: Request) -> Response:
        """The listed checkpoints. Other properties are known only where a checkpoint is loaded."""
        found = self._routes.models().items()
        return JsonResponse({"models": [{"id": model, "languages": sources} for model, sources in found]})

    async def _live(self, _: Request) -> Response:
        return JsonResponse(HealthAnswer())

    async def _ready(self, _: Request) -> Response:
        """Whether a replica runs. It loads checkpoints on demand, so readiness does not depend on them."""
        status = await asyncio.to_thread(serve.status)
        replicas = [
            number
            for app in status.applications.values()
            for name, deployment in app.deployments.items()
            for state, number in deployment.replica_states.items()
            if name == CHECKPOINT_HOST and state == "RUNNING"
        ]
        if not any(replicas):
            raise NotReadyError("no replica is running", retry_after_seconds=1)
        return JsonResponse(HealthAnswer())

    async def _metrics(self, _: Request) -> Response:
        answers = await self._host.broadcast("metrics").results_async(timeout_s=LOOK_SECONDS, return_exceptions=True)
        seen = [answer for answer in answers if not isinstance(answer, BaseException)]
        pages = [Page(replica, model, text) for replica, texts in seen for model, text in texts.items()]
        return Response(merge_pages(pages), media_type=CONTENT_TYPE)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        body = await read_body(receive)
        headers = [(name, value) for name, value in scope["headers"] if name not in HOP_BY_HOP]
        request = AppRequest(
            scope["method"],
            scope["path"],
            scope["query_string"],
            (*headers, (REQUEST_ID.encode(), record.request_id.encode())),
            body,
        )
        asked = read_asked(request)
        find, default = self._routes.find, self._routes.default
        model = default if asked is None else find(asked.source_lang, asked.target_langs, asked.model)
        try:
            await until_gone(receive, self._forwarder.forward(request, model, record, send))
        except ClientGoneError:
            if record.status is None:  # otherwise the answer has begun, and no status can be sent
                raise


def _dialect_of(path: str) -> Dialect:
    return HUGGINGFACE if path == "/" else COMPATIBLE(path)


async def _not_found(_: Request) -> Response:
    raise HTTPException(404)


class OneRequestId:
    """Drops our request id header if Serve's proxy adds the same one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID)

        async def send_once(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get(REQUEST_ID) == given:
                    del headers[REQUEST_ID]
            await send(message)

        await self._app(scope, receive, send_once)
