"""Read a request's body or query into a model. Raises MalformedError with a bounded number of errors."""

import json
from collections.abc import Container, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from service.api.answers import FieldError
from service.api.errors import MAX_LISTED_ERRORS, ClientGoneError, MalformedError
from service.api.long_lists import num_errors_of
from service.errors import quoted, shown

MAX_QUERY_FIELDS = 4096

M = TypeVar("M", bound=BaseModel)


async def read_body(receive: Receive) -> bytes:
    """Raises ClientGoneError if the client hangs up while sending."""
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError("the client hung up while sending the request")
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def read_json(model: type[M], scope: Scope, body: bytes) -> M:
    """Raises HTTPException if the Content-Type names another type than JSON."""
    content_type = Headers(scope=scope).get("content-type", "")
    if not _may_be_json(content_type):
        raise HTTPException(415, f"Content-Type {quoted(content_type)} is not read here: send application/json")
    return _validate(model, parse_object(body), place="body")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        # Not pydantic's own parser: it rejects lone surrogates without naming the field.
        fields = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _malformed("body", f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise _malformed("body", f"not JSON at character {error.pos}: {error.msg}") from error
    except ValueError as error:
        raise _malformed("body", "a number has too many digits") from error
    except RecursionError as error:
        raise _malformed("body", "nested too deeply") from error
    if not isinstance(fields, dict):
        raise _malformed("body", "Input should be an object")
    return fields


def read_query(model: type[M], scope: Scope) -> M:
    """Read the query. A list field may be repeated; the last value of any other field counts."""
    try:
        query = scope["query_string"].decode()
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
    except UnicodeDecodeError as error:
        raise _malformed("query", "not UTF-8") from error
    except ValueError as error:
        raise _malformed("query", f"more than {MAX_QUERY_FIELDS} fields") from error
    lists = {field.alias or name for name, field in model.model_fields.items() if "list" in str(field.annotation)}
    return _validate(model, collected(pairs, lists=lists), place="query")


def collected(pairs: Iterable[tuple[str, str]], *, lists: Container[str]) -> dict[str, Any]:
    """The fields by name. A field in `lists` has all of its values, any other field the last one."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return fields


def _validate(model: type[M], fields: Mapping[str, Any], *, place: str) -> M:
    names = _names_of(model)
    unknown = [name for name in fields if name not in names]
    found: list[FieldError] = []
    num_errors = len(unknown)
    validated = None
    try:
        validated = model.model_validate({name: fields[name] for name in names if name in fields})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        found = [_field_error(place, each["loc"], each["msg"]) for each in details[:MAX_LISTED_ERRORS]]
        num_errors += sum(num_errors_of(each) for each in details)
    if validated is None or unknown:
        listed = unknown[:MAX_LISTED_ERRORS]
        extra = [_field_error(place, (name,), "Extra inputs are not permitted") for name in listed]
        raise MalformedError([*found, *extra], num_errors=num_errors)
    return validated


@cache
def _names_of(model: type[BaseModel]) -> frozenset[str]:
    """The names of the fields as clients send them."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _field_error(place: str, location: tuple[int | str, ...], message: str) -> FieldError:
    """An error without the value, which may be long, private or not Unicode."""
    field = ".".join(shown(str(part)) for part in (place, *location))
    return FieldError(field, message.removeprefix("Value error, "))


def _malformed(field: str, message: str) -> MalformedError:
    return MalformedError([FieldError(field, message)])


def _may_be_json(content_type: str) -> bool:
    """Whether a body may be JSON. It may also have no type, or the type that browsers give to strings."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("", "application/json", "text/plain") or media_type.endswith("+json")
