"""One table: domain error -> status and problem. A problem is the body of a refusal and the `error` event of a stream.

Bodies are `application/problem+json`, RFC 9457.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from service import errors
from service.api.record import RequestRecord, record_of

logger = logging.getLogger(__name__)


class MalformedError(errors.ServiceError):
    """Fields that break the schema. `fields` lists each with what is wrong."""

    def __init__(self, fields: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{each['field']}: {each['message']}" for each in fields))
        self.fields = fields


class ClientGoneError(errors.ServiceError):
    """The client hung up; nobody reads the answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    slug: str
    title: str
    outcome: str


INTERNAL = Problem(500, "internal", "Internal error", "error")
PROBLEMS: Mapping[type[errors.ServiceError], Problem] = MappingProxyType(
    {
        errors.UnsupportedLanguageError: Problem(400, "unsupported-language", "Unsupported language", "invalid"),
        errors.UnsupportedOptionError: Problem(400, "unsupported-option", "Unsupported option", "invalid"),
        errors.TooLargeError: Problem(413, "too-large", "Over a limit", "invalid"),
        MalformedError: Problem(422, "malformed", "Malformed request", "invalid"),
        errors.QueueFullError: Problem(429, "queue-full", "Queue full", "refused"),
        ClientGoneError: Problem(499, "client-gone", "Client closed the connection", "cancelled"),
        errors.EngineFailedError: Problem(500, "engine-failed", "The engine failed", "error"),
        errors.NotReadyError: Problem(503, "not-ready", "Not ready", "refused"),
        errors.DrainingError: Problem(503, "draining", "Shutting down", "refused"),
        errors.DeadlineExceededError: Problem(504, "deadline-exceeded", "Deadline exceeded", "timeout"),
    }
)
STATUS_SLUGS = MappingProxyType({404: "not-found", 405: "method-not-allowed", 413: "too-large"})


def problem_of(error: Exception) -> Problem:
    return PROBLEMS.get(type(error), INTERNAL) if isinstance(error, errors.ServiceError) else INTERNAL


def problem_body(error: Exception, *, request_id: str) -> dict[str, Any]:
    """The problem object. What went wrong inside is for the log: the client is told no more than that."""
    problem = problem_of(error)
    detail = str(error) if problem is not INTERNAL else "an error that is not the client's; the log has the request id"
    body = _body(problem.status, problem.slug, problem.title, detail, request_id)
    if isinstance(error, MalformedError):
        body["errors"] = error.fields
    return body


def record_failure(error: Exception, record: RequestRecord) -> None:
    """Set the request's outcome, and log what is the server's fault."""
    problem = problem_of(error)
    record.outcome = problem.outcome
    if problem is INTERNAL:
        logger.error("request %s failed", record.request_id, exc_info=error)
    elif problem.outcome == "error":
        logger.error("request %s failed: %s", record.request_id, error)


def install_error_handlers(app: FastAPI) -> None:
    def answer(request: Request, error: Exception) -> JSONResponse:
        record = record_of(request.scope)
        record_failure(error, record)
        headers = {}
        if isinstance(error, errors.RetryableError):
            headers["Retry-After"] = str(error.retry_after_seconds)
        body = problem_body(error, request_id=record.request_id)
        return _response(body, headers)

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        return answer(request, error)

    async def on_malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer(request, MalformedError([_field(details) for details in error.errors()]))

    async def on_hang_up(request: Request, _: Exception) -> JSONResponse:
        return answer(request, ClientGoneError("the client hung up while it sent the request"))

    async def on_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return refuse(request.scope, error.status_code, error.detail, error.headers)

    app.add_exception_handler(errors.ServiceError, on_error)
    app.add_exception_handler(RequestValidationError, on_malformed)
    app.add_exception_handler(ClientDisconnect, on_hang_up)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_error)


def refuse(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem for what HTTP itself refuses, under that status's own phrase."""
    slug = STATUS_SLUGS.get(status, "http")
    body = _body(status, slug, HTTPStatus(status).phrase, detail, record_of(scope).request_id)
    return _response(body, headers or {})


def _body(status: int, slug: str, title: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": f"urn:kakehashi:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }


def _response(body: dict[str, Any], headers: Mapping[str, str]) -> JSONResponse:
    """With the request's id: what answers an unexpected error stands outside the middleware that adds it elsewhere."""
    return JSONResponse(
        body,
        status_code=body["status"],
        headers={**headers, "X-Request-ID": body["request_id"]},
        media_type="application/problem+json",
    )


def _field(details: Mapping[str, Any]) -> dict[str, str]:
    """Without the value that was sent: it may be long, private, or no Unicode at all."""
    return {
        "field": ".".join(str(part) for part in details["loc"]),
        "message": str(details["msg"]).removeprefix("Value error, "),
    }
