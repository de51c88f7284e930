"""The fields of a request that the ingress reads to find its checkpoint. The app reads and validates the rest."""

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard
from urllib.parse import parse_qs

from deploy.ray.exchange import AppRequest
from service.api.schemas import MAX_LANGUAGE_CHARACTERS, MAX_MODEL_CHARACTERS, MAX_TARGETS

IN_BODY, IN_QUERY = "body", "query"
TRANSLATING = MappingProxyType(
    {
        ("POST", "/v1/translations"): IN_BODY,
        ("POST", "/v1/explain"): IN_BODY,
        ("GET", "/v1/translations/stream"): IN_QUERY,
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    source_lang: str | None
    target_langs: tuple[str, ...]
    model: str | None


def read_asked(request: AppRequest) -> Asked | None:
    """None if the request is not a translation or has malformed fields, which any app refuses."""
    place = TRANSLATING.get((request.method, request.path))
    if place is None:
        return None
    return _from_query(request) if place == IN_QUERY else _from_body(request)


def _from_query(request: AppRequest) -> Asked | None:
    query = parse_qs(request.query_string.decode("latin-1"))
    sources, models = query.get("source_lang", [None]), query.get("model", [None])
    return _asked(sources[-1], query.get("target_lang"), models[-1])


def _from_body(request: AppRequest) -> Asked | None:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return _asked(body.get("source_lang"), body.get("target_lang"), body.get("model"))


def _asked(source_lang: object, target_lang: object, model: object) -> Asked | None:
    targets = target_lang if isinstance(target_lang, list) else [target_lang]
    if len(targets) > MAX_TARGETS:
        return None
    target_langs = tuple(each for each in targets if isinstance(each, str) and len(each) <= MAX_LANGUAGE_CHARACTERS)
    if not target_langs or len(target_langs) < len(targets):
        return None
    if not _is_short(source_lang, MAX_LANGUAGE_CHARACTERS) or not _is_short(model, MAX_MODEL_CHARACTERS):
        return None
    return Asked(source_lang, target_langs, model)


def _is_short(value: object, max_characters: int) -> TypeGuard[str | None]:
    return value is None or (isinstance(value, str) and len(value) <= max_characters)
