"""The fields of a request to a compatible API: from JSON, from a URL-encoded or multipart form, or from the query."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Scope

from service.api.errors import InvalidRequestError
from service.api.reading import collected, parse_object

MAX_FORM_FIELDS = 4096
INLINE_BYTES = 16 << 10
"""Longer forms are decoded in a thread: a megabyte of percent signs takes up to a second."""
URL_ENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Fields:
    """JSON values as they were sent. Values of a form or query are strings or lists of strings."""

    values: dict[str, Any]
    is_form: bool


async def read_fields(scope: Scope, body: bytes, *, lists: frozenset[str] = frozenset()) -> Fields:
    """Read JSON of any content type, or a form and the query together.

    Fields in `lists` may appear more than once; otherwise the last value counts.
    Raises InvalidRequestError, and MalformedError for JSON that is not an object.
    """
    headers = Headers(scope=scope)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        pairs = await _parse_multipart(headers, body)
    elif media_type == URL_ENCODED or not body:
        is_short = len(body) <= INLINE_BYTES
        pairs = parse_url_encoded(body) if is_short else await asyncio.to_thread(parse_url_encoded, body)
    else:
        return Fields(parse_object(body), is_form=False)
    pairs = [*parse_url_encoded(scope["query_string"]), *pairs]
    return Fields(collected(pairs, lists=lists), is_form=True)


def validated(model: type[M], fields: Fields, *, phrase: Callable[[str, str], str]) -> M:
    """Validate the fields. Raises InvalidRequestError; `phrase` makes its message of the first bad field and error."""
    try:
        return model.model_validate(fields.values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        # Drop list indices and pydantic's names for members of a union.
        path = [part for part in first["loc"] if isinstance(part, str) and part.isidentifier()]
        raise InvalidRequestError(phrase(".".join(path), message)) from error


def parse_url_encoded(content: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(content.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError as error:
        raise InvalidRequestError("Invalid request: the form is not UTF-8") from error
    except ValueError as error:
        raise InvalidRequestError(f"Invalid request: the form has more than {MAX_FORM_FIELDS} fields") from error


async def _parse_multipart(headers: Headers, body: bytes) -> list[tuple[str, str]]:
    """Parse a form, and refuse files. Parts need no limit of their own: the body has one.

    Only the boundary is passed on: Starlette would decode with any codec that the header names, and some of Python's
    take minutes for a megabyte.
    """
    _, parameters = parse_options_header(headers["content-type"])
    content_type = b"%b; boundary=%b" % (MULTIPART.encode(), parameters.get(b"boundary", b""))

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        Headers(raw=[(b"content-type", content_type)]),
        stream(),
        max_files=0,
        max_fields=MAX_FORM_FIELDS,
        max_part_size=len(body),
    )
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError) as error:
        raise InvalidRequestError("Invalid request: the form cannot be read") from error
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
