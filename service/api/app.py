"""The HTTP app. The composition root, or a test, builds its parts."""

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

from fastapi import FastAPI

from service.api import detect, docs_page, explain, health, listings, playground, translations
from service.api.access_log import AccessLog
from service.api.admission import Admission, Limits, RateLimiter, RefusalObserver, RoomCheck
from service.api.api_keys import ApiKeys
from service.api.body_limit import BodyLimit, BodyPace
from service.api.cors import Cors
from service.api.deepl import routes as deepl
from service.api.deepl.errors import DIALECT as DEEPL
from service.api.dialect_index import DialectIndex
from service.api.errors import install_error_handlers
from service.api.header_keys import behind_keys
from service.api.health import Readiness
from service.api.hosts import HostCheck
from service.api.huggingface import routes as huggingface
from service.api.libretranslate import routes as libretranslate
from service.api.listings import LoadedCheckpoints
from service.api.middleware import RequestObserver, RequestRecorder
from service.api.openapi import App
from service.api.operation_port import OperationPort
from service.api.refused_head import HeadRefusals
from service.glossaries.store import GlossaryStore
from service.lifecycle import Lifecycle
from service.translation.language_pair import LanguagePair
from service.translation.routing import Catalogue
from service.translation.translator import Translator

if TYPE_CHECKING:
    from service.observability.spans import Tracing


class ServingEngine(RoomCheck, Readiness, LoadedCheckpoints, Protocol):
    """The part of the engine that the routes use."""


class ApiObserver(RequestObserver, RefusalObserver, Protocol):
    """All reports of the API."""


def create_app(
    *,
    translator: Translator,
    catalogue: Catalogue,
    engine: ServingEngine,
    lifecycle: Lifecycle,
    observer: ApiObserver,
    render_metrics: Callable[[], bytes] | None,
    limits: Limits,
    max_body_bytes: int,
    body_pace: BodyPace,
    version: str,
    default_pair: LanguagePair,
    api_keys: ApiKeys,
    glossaries: GlossaryStore,
    rate_limiter: RateLimiter | None = None,
    cors_origins: Collection[str] = (),
    max_seconds_without_worker: float = inf,
    allowed_hosts: Collection[str] | None = None,
    operation_port: int | None = None,
    has_docs: bool = True,
    has_playground: bool = True,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    access_log: AccessLog | None = None,
    tracing: "Tracing | None" = None,
) -> App:
    """Without `render_metrics` there is no `/metrics`, and without `allowed_hosts` every host is served."""
    admission = Admission(
        translator, engine, lifecycle, observer, limits=limits, rate_limiter=rate_limiter, origins=cors_origins
    )
    native = [
        *translations.create_routes(admission),
        explain.create_route(admission, engine),
        detect.create_route(admission),
        *listings.create_routes(catalogue, engine),
    ]
    page = playground.create_routes(max_text_characters=limits.max_text_characters, version=version)
    compatible = [
        *libretranslate.create_routes(
            admission,
            catalogue,
            default_pair,
            api_keys,
            partial(health.check_ready, engine, lifecycle),
        ),
        *behind_keys(
            deepl.create_routes(admission, catalogue, glossaries), api_keys, scheme=deepl.SCHEME, prefix=deepl.PREFIX
        ),
        *behind_keys(huggingface.create_routes(admission, default_pair), api_keys),
        huggingface.create_info_route(catalogue, max_requests=limits.max_requests, version=version),
    ]
    routes = [
        *behind_keys(native, api_keys, prefix="/v1"),
        *health.create_routes(
            engine,
            lifecycle,
            max_seconds_without_worker=max_seconds_without_worker,
            render_metrics=render_metrics,
        ),
        *(docs_page.create_routes() if has_docs else ()),
        *(
            page if has_playground else ()
        ),  # before Hugging Face's POST /, whose dialect then answers refusals of that path
        *compatible,
    ]
    app = App(
        title="Kakehashi",
        version=version,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=docs_page.DESCRIPTION_PATH if has_docs else None,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        # FastAPI's telemetry checks at every request whether anything collects it.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        routes=routes,
    )
    install_error_handlers(app)
    if operation_port is not None:
        app.add_middleware(OperationPort, port=operation_port)
    if allowed_hosts is not None:
        app.add_middleware(HostCheck, hosts=allowed_hosts)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes, pace=body_pace)
    app.add_middleware(HeadRefusals, observer=observer)
    if cors_origins:
        app.add_middleware(Cors, origins=cors_origins)
    dialect_of = DialectIndex(routes, {f"{deepl.PREFIX}/": DEEPL})
    app.add_middleware(
        RequestRecorder, observer=observer, dialect_of=dialect_of, access_log=access_log, tracing=tracing
    )
    return app
