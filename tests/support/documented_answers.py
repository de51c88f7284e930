"""Check the law that every request allowed by the schema gets an answer documented in OpenAPI, and never a 500.

The app runs in this process, with any engine.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jsonschema
from hypothesis import strategies as st

from service.api.openapi import App
from tests.support.asgi import Exchange, call, post
from tests.support.json_schemas import objects

TRANSLATE, STREAM, EXPLAIN = "/v1/translations", "/v1/translations/stream", "/v1/explain"
DETECT = "/v1/detect"
STATUSES = frozenset({200, 201, 400, 404, 413, 422, 429, 503, 504})
PROBLEM = "application/problem+json"


def bodies(app: App, path: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies that the schema of this route allows. `known` are strategies for meaningful values, such as languages."""
    content = app.openapi()["paths"][path]["post"]["requestBody"]["content"]
    return objects(_inline(app, content["application/json"]["schema"]), **known)


def queries(app: App, path: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    parameters = app.openapi()["paths"][path]["get"]["parameters"]
    schema = {
        "properties": {each["name"]: each["schema"] for each in parameters},
        "required": [each["name"] for each in parameters if each["required"]],
    }
    return objects(schema, **known).map(_encode)


async def check_body(app: App, path: str, body: Mapping[str, Any]) -> Exchange:
    answer = await post(app, path, dict(body))
    check_documented(app, "post", path, answer)
    return answer


async def check_query(app: App, path: str, query: bytes) -> Exchange:
    answer = await call(app, "GET", path, query=query)
    check_documented(app, "get", path, answer)
    return answer


def check_documented(app: App, method: str, path: str, answer: Exchange) -> None:
    """Check that status, media type and body are documented for the route."""
    assert answer.status in STATUSES, answer.body
    assert answer.is_whole
    content = app.openapi()["paths"][path][method]["responses"][str(answer.status)]["content"]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in content
    if media_type == "text/event-stream":
        names = [event.name for event in answer.events]
        assert [name for name in names if name in ("done", "error")] == names[-1:]
        return
    components = app.openapi()["components"]
    jsonschema.validate(answer.json, {**content[media_type]["schema"], "components": components})
    if media_type == PROBLEM:
        assert answer.json["status"] == answer.status
        assert len(answer.body) < 8 << 10


def _inline(app: App, schema: Any) -> Any:
    """The schema with its references replaced by their targets."""
    if isinstance(schema, list):
        return [_inline(app, each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _inline(app, app.openapi()["components"]["schemas"][name])
    return {name: _inline(app, each) for name, each in schema.items()}


def _encode(fields: Mapping[str, Any]) -> bytes:
    """Encode a query. None leaves a field out; a list repeats it."""
    given = {name: value for name, value in fields.items() if value is not None}
    return urlencode({name: _text(value) for name, value in given.items()}, doseq=True).encode()


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value
