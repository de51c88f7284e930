"""A route that FastAPI documents and does not run.

FastAPI's own way to an endpoint (routers in routers, exit stacks, a dependency graph of one body) takes a request about
as long as cutting and tokenizing its text, which a server of small models answers in little more.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

M = TypeVar("M", bound=BaseModel)


class BodyRoute(APIRoute):
    """`POST` of a JSON body to an endpoint that takes it, as a `model`, and nothing else."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[M], Awaitable[Response]],
        *,
        model: type[M],
        tag: str,
        response_model: type,
        responses: Mapping[int | str, dict[str, Any]],
    ) -> None:
        super().__init__(
            path, endpoint, methods=["POST"], tags=[tag], response_model=response_model, responses=dict(responses)
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(await _read(model, Request(scope, receive)))
            await response(scope, receive, send)

        self.app = app


async def _read(model: type[M], request: Request) -> M:
    """Raises RequestValidationError, with the errors that FastAPI would find, and HTTPException for what is no JSON."""
    content = await request.body()
    try:
        # Not pydantic's own parser: it takes no lone surrogates, so that it could not name the field that has them.
        body = json.loads(content) if _is_json(request.headers) else content
    except json.JSONDecodeError as error:
        raise _invalid([{"loc": (error.pos,), "msg": "JSON decode error"}]) from error
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "There was an error parsing the body") from error
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False)) from error


def _is_json(headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _invalid(errors: list[Any]) -> RequestValidationError:
    return RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in errors])
