"""Plain Starlette routes, and their OpenAPI description.

FastAPI's way to an endpoint (exit stacks, a dependency graph for one body) takes about as long as cutting and
tokenizing a short text. Request models are pydantic's, answers are msgspec's.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.dialect import Dialect
from service.api.errors import NATIVE, PROBLEMS
from service.api.url_limit import check_url

SCHEMAS = "#/components/schemas/"
OPENAPI_VERSION = "3.1.0"

COMMON_PROBLEMS = (400, 413, 431, 500)
"""The refusals of any route: another host, a body or a URL over its limit, or an internal error."""
BODY_PROBLEMS = (415,)
WORK_PROBLEMS = (400, 422, 429, 503, 504)
RETRYABLE = frozenset({429, 503})
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    `answer` is the msgspec type of a JSON answer, `stream` describes the events of a streamed one, and `media_type` is
    that of any other.
    """

    method: str
    path: str
    tag: str
    summary: str
    description: str = ""
    body: type[BaseModel] | None = None
    body_types: tuple[str, ...] = (JSON,)
    query: type[BaseModel] | None = None
    answer: type | None = None
    stream: str = ""
    media_type: str | None = None
    status: int = 200
    """The status of an answer that is not a refusal."""
    problems: tuple[int, ...] = ()
    """The native statuses of the refusals; the dialect maps them to its own."""
    dialect: Dialect = NATIVE

    def error_statuses(self, *, has_key: bool) -> list[int]:
        of_body = () if self.body is None else BODY_PROBLEMS
        given = {*COMMON_PROBLEMS, *of_body, *self.problems, *([401] if has_key else [])}
        problems = [problem for problem in PROBLEMS.values() if problem.status in given]
        without_problem = given - {problem.status for problem in problems}
        return sorted({*map(self.dialect.status, problems), *without_problem})


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets requests with a key through, and raises KeyRefusedError for others.

    `scheme` is the guard's Security Scheme Object in OpenAPI.
    """

    wrap: Callable[[ASGIApp], ASGIApp]
    scheme_name: str
    scheme: Mapping[str, str]


class DocumentedRoute(Route):
    def __init__(
        self,
        operation: Operation,
        endpoint: ASGIApp | Callable[[Request], Awaitable[Response]],
        *,
        guard: Guard | None = None,
    ) -> None:
        """As in Starlette, a function is called with a request, and any other endpoint is an ASGI app."""
        super().__init__(operation.path, endpoint, methods=[operation.method])
        self.operation = operation
        self.guard = guard
        self._answer: ASGIApp = self._answer_within if guard is None else guard.wrap(self._answer_within)

    def behind(self, guard: Guard) -> "DocumentedRoute":
        """The same route with all of its answers behind `guard`, 405 included."""
        return DocumentedRoute(self.operation, self.endpoint, guard=guard)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self  # FastAPI's router only sets it for its own routes
        await self._answer(scope, receive, send)

    async def _answer_within(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_url(scope)
        await super().handle(scope, receive, send)


class App(FastAPI):
    """Ignores trailing slashes. OpenAPI describes the DocumentedRoutes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope["path"] = scope["path"].rstrip("/") or "/"
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            routes = [route for route in self.routes if isinstance(route, DocumentedRoute)]
            self.openapi_schema = describe(routes, title=self.title, version=self.version)
        return self.openapi_schema


def describe(routes: Iterable[DocumentedRoute], *, title: str, version: str) -> dict[str, Any]:
    """The OpenAPI document."""
    routes = list(routes)
    operations = [route.operation for route in routes]
    answers = [operation.answer for operation in operations if operation.answer is not None]
    errors = [operation.dialect.body_type for operation in operations]
    _, schemas = msgspec.json.schema_components([*answers, *errors], ref_template=SCHEMAS + "{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = route.operation
        if operation.body is not None:
            schema = operation.body.model_json_schema(ref_template=SCHEMAS + "{model}")
            schemas |= schema.pop("$defs", {})
            schemas[operation.body.__name__] = schema
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, route.guard)
    components = {"schemas": schemas}
    if schemes := {guard.scheme_name: guard.scheme for route in routes if (guard := route.guard) is not None}:
        components["securitySchemes"] = schemes
    info = {"title": title, "version": version}
    return {"openapi": OPENAPI_VERSION, "info": info, "paths": paths, "components": components}


def _describe(operation: Operation, guard: Guard | None) -> dict[str, Any]:
    name = f"{operation.method} {operation.path}".lower()
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": "_".join(part for part in name.replace("/", " ").replace("-", "_").split()),
        "responses": {str(operation.status): _answer(operation)},
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        schema = {"$ref": SCHEMAS + operation.body.__name__}
        content = {media_type: {"schema": schema} for media_type in operation.body_types}
        described["requestBody"] = {"required": True, "content": content}
    if parameters := [*_path_parameters(operation.path), *_query_parameters(operation.query)]:
        described["parameters"] = parameters
    if guard is not None:
        described["security"] = [{guard.scheme_name: []}]
    for status in operation.error_statuses(has_key=guard is not None):
        described["responses"][str(status)] = _problem(status, operation.dialect)
    return described


def _answer(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.answer is not None:
        (schema,), _ = msgspec.json.schema_components([operation.answer], ref_template=SCHEMAS + "{name}")
        content[JSON] = {"schema": schema}
    if operation.stream:
        # Without a type: before OpenAPI 3.2, tools disagree on whether the schema is an event's or the whole stream's.
        content["text/event-stream"] = {"schema": {"description": operation.stream}}
    if operation.media_type is not None:
        content[operation.media_type] = {"schema": {"type": "string"}}
    described = {"description": HTTPStatus(operation.status).phrase, "headers": _headers(operation.status)}
    return described | ({"content": content} if content else {})


def _problem(status: int, dialect: Dialect) -> dict[str, Any]:
    titles = dict.fromkeys(problem.title for problem in PROBLEMS.values() if dialect.status(problem) == status)
    content = {dialect.media_type: {"schema": {"$ref": SCHEMAS + dialect.body_type.__name__}}}
    return {
        "description": " or ".join(titles) or HTTPStatus(status).phrase,
        "content": content,
        "headers": _headers(status),
    }


def _headers(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"schema": {"type": "string"}}}
    if status in RETRYABLE:
        headers["Retry-After"] = {"description": "Seconds", "schema": {"type": "integer"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    return headers


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(query: type[BaseModel] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    schema = query.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": described}
        for name, described in schema["properties"].items()
    ]
