"""The compatible APIs as the tests of all of them see one: a good request, where its key goes, and its errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.asgi import Exchange, as_json, post
from tests.support.scripted_app import ScriptedApp

KEY = "s3cret"


@dataclass(frozen=True, slots=True)
class Api:
    name: str
    path: str
    body: Mapping[str, Any]
    text_field: str
    target_field: str
    present: Callable[[str], tuple[dict[str, Any], dict[str, str]]]
    """The fields and headers that carry this key."""

    async def call(self, app: ScriptedApp, *, key: str | None = None, **changes: Any) -> Exchange:
        """The good request, changed; a field of None is left out."""
        fields, headers = self.present(key) if key is not None else ({}, {})
        body = {name: value for name, value in {**self.body, **changes, **fields}.items() if value is not None}
        return await self.send(app, as_json(body), **headers)

    async def send(self, app: ScriptedApp, content: bytes, **headers: str) -> Exchange:
        return await post(app.app, self.path, content, **headers, **{"content-length": str(len(content))})

    def too_long(self) -> dict[str, Any]:
        return {self.text_field: "x" * 2_001 if isinstance(self.body[self.text_field], str) else ["x" * 2_001]}


def _huggingface(path: str) -> Api:
    return Api(
        f"Hugging Face {path}",
        path,
        {"inputs": "Hello", "parameters": {"src_lang": "en", "tgt_lang": "de"}},
        "inputs",
        "parameters",
        lambda key: ({}, {"authorization": f"Bearer {key}"}),
    )


LIBRETRANSLATE = Api(
    "LibreTranslate",
    "/translate",
    {"q": "Hello", "source": "en", "target": "de"},
    "q",
    "target",
    lambda key: ({"api_key": key}, {}),
)
DEEPL = Api(
    "DeepL",
    "/v2/translate",
    {"text": ["Hello"], "source_lang": "EN", "target_lang": "DE"},
    "text",
    "target_lang",
    lambda key: ({}, {"authorization": f"DeepL-Auth-Key {key}"}),
)
ROOT, GENERATE, GENERATE_STREAM = (_huggingface(path) for path in ("/", "/generate", "/generate_stream"))
APIS = (LIBRETRANSLATE, DEEPL, ROOT, GENERATE, GENERATE_STREAM)
EVERY_API = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
