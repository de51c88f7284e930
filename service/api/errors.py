"""The table of errors: exception -> problem. The dialect of the request's API turns it into a status and a body.

The native dialect is `application/problem+json`, RFC 9457; a problem is also the `error` event of a stream. Bodies show
at most 100 characters of any part of a request.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service import errors
from service.api.answers import FieldError, ProblemDetails
from service.api.dialect import Dialect, Problem, Refusal
from service.api.encoding import JsonResponse
from service.api.record import RequestRecord, record_of

logger = logging.getLogger(__name__)

MAX_LISTED_ERRORS = 20


class MalformedError(errors.ServiceError):
    """Fields that violate the schema: the first ones, and the total number."""

    def __init__(self, fields: Sequence[FieldError], *, num_errors: int | None = None) -> None:
        """`num_errors` is the total, including errors that are not in `fields`."""
        self.fields = list(fields[:MAX_LISTED_ERRORS])
        self.num_omitted = (num_errors or len(fields)) - len(self.fields)
        num_others = len(self.fields) - 1 + self.num_omitted
        first = f"{self.fields[0].field}: {self.fields[0].message}"
        super().__init__(f"{first} (and {num_others} more)" if num_others else first)


class KeyRefusedError(errors.ServiceError):
    """The request has no key, or one that this server does not know."""


class HostRefusedError(errors.ServiceError):
    """The request is for a host that this server does not serve."""


class CrossSiteError(errors.ServiceError):
    """A web page of another site wants work done, and CORS does not allow its origin."""


class ClientGoneError(errors.ServiceError):
    """The client hung up and will not read the answer."""


class TooManyConnectionsError(errors.RetryableError):
    """There are more connections than the server allows."""


class InvalidRequestError(errors.ServiceError):
    """A request that breaks a rule of a compatible API. The message is in that API's words."""


INTERNAL = Problem(500, "internal", "Internal error", "error")
MALFORMED = Problem(422, "malformed", "Malformed request", "invalid")
INTERNAL_DETAIL = "Internal error. Quote the request_id when reporting it."
PROBLEMS: Mapping[type[errors.ServiceError], Problem] = MappingProxyType(
    {
        errors.UnsupportedLanguageError: Problem(400, "unsupported-language", "Unsupported language", "invalid"),
        errors.UnsupportedOptionError: Problem(400, "unsupported-option", "Unsupported option", "invalid"),
        HostRefusedError: Problem(400, "host-not-allowed", "Host not allowed", "invalid"),
        CrossSiteError: Problem(400, "cross-site", "Cross-site request", "invalid"),
        KeyRefusedError: Problem(401, "unauthorized", "Unauthorized", "invalid"),
        errors.TooLargeError: Problem(413, "too-large", "Over a limit", "invalid"),
        MalformedError: MALFORMED,
        InvalidRequestError: MALFORMED,
        errors.QueueFullError: Problem(429, "queue-full", "Queue full", "refused"),
        errors.RateSpentError: Problem(429, "rate-spent", "Rate limit reached", "refused"),
        errors.DeadlineUnreachableError: Problem(429, "deadline-unreachable", "Deadline out of reach", "refused"),
        ClientGoneError: Problem(499, "client-gone", "Client closed the connection", "cancelled"),
        errors.EngineFailedError: Problem(500, "engine-failed", "The engine failed", "error"),
        errors.NotReadyError: Problem(503, "not-ready", "Not ready", "refused"),
        errors.DrainingError: Problem(503, "draining", "Shutting down", "refused"),
        TooManyConnectionsError: Problem(503, "too-many-connections", "Too many connections", "refused"),
        errors.DeadlineExceededError: Problem(504, "deadline-exceeded", "Deadline exceeded", "timeout"),
    }
)
STATUS_SLUGS = MappingProxyType(
    {
        400: "bad-request",
        404: "not-found",
        405: "method-not-allowed",
        408: "request-timeout",
        413: "too-large",
        415: "unsupported-media-type",
        431: "head-too-large",
    }
)


def problem_of(error: Exception) -> Problem:
    return PROBLEMS.get(type(error), INTERNAL) if isinstance(error, errors.ServiceError) else INTERNAL


def refusal_of(error: Exception, *, request_id: str) -> Refusal:
    """The refusal for an error. The cause of an internal error is only logged, not sent to the client."""
    problem = problem_of(error)
    if problem is INTERNAL or not isinstance(error, errors.ServiceError):
        return Refusal(INTERNAL, INTERNAL_DETAIL, request_id)
    return Refusal(problem, str(error), request_id, error)


def record_failure(error: Exception, record: RequestRecord) -> None:
    """Set the request's outcome, and log the error if it is the server's fault."""
    problem = problem_of(error)
    record.outcome = problem.outcome
    if problem is INTERNAL:
        logger.error("request %s failed", record.request_id, exc_info=error)
    elif problem.outcome == "error":
        logger.error("request %s failed: %s", record.request_id, error)


def install_error_handlers(app: Starlette) -> None:
    """Call this before adding other middleware, so that unexpected errors are answered inside it, too."""

    async def on_error(request: Request, error: Exception) -> Response:
        return answer_error(request.scope, error)

    async def on_hang_up(request: Request, _: Exception) -> Response:
        return answer_error(request.scope, ClientGoneError("the client hung up while sending the request"))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = ", ".join(sorted(_methods(request)))
        return refuse(request.scope, error.status_code, error.detail, headers)

    app.add_exception_handler(errors.ServiceError, on_error)
    app.add_exception_handler(ClientDisconnect, on_hang_up)
    app.add_exception_handler(HTTPException, on_http_error)
    # Starlette itself would install a handler of any exception outside all middleware.
    app.add_middleware(ServerErrorMiddleware, handler=on_error)


def _methods(request: Request) -> set[str]:
    """The methods of the path. Starlette's own `Allow` has those of the path's first route only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    return {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def answer_error(scope: Scope, error: Exception) -> Response:
    record = record_of(scope)
    record_failure(error, record)
    headers = {}
    if isinstance(error, errors.RetryableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif isinstance(error, errors.TooLargeError):
        headers["Connection"] = "close"  # a client that sends too much loses its connection
    dialect = record.dialect
    refusal = refusal_of(error, request_id=record.request_id)
    if dialect.status(refusal.problem) == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _response(refusal, dialect, headers)


def refuse(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Refuse with an error of HTTP itself, such as 404, titled with the status phrase."""
    problem = Problem(status, STATUS_SLUGS.get(status, "http"), HTTPStatus(status).phrase, "invalid")
    record = record_of(scope)
    return _response(Refusal(problem, detail, record.request_id), record.dialect, headers or {})


def _problem_details(refusal: Refusal) -> ProblemDetails:
    malformed = refusal.error if isinstance(refusal.error, MalformedError) else None
    return ProblemDetails(
        f"urn:kakehashi:problem:{refusal.problem.slug}",
        refusal.problem.title,
        refusal.problem.status,
        refusal.detail,
        refusal.request_id,
        errors=malformed.fields if malformed else None,
        errors_omitted=malformed.num_omitted if malformed else None,
    )


NATIVE = Dialect(ProblemDetails, _problem_details, media_type="application/problem+json")


def _response(refusal: Refusal, dialect: Dialect, headers: Mapping[str, str]) -> Response:
    return JsonResponse(
        dialect.body(refusal),
        status_code=dialect.status(refusal.problem),
        headers=headers,
        media_type=dialect.media_type,
    )
