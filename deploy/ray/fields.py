"""What the ingress reads of a request to find its checkpoint; all else is for the app to read, and to refuse."""

import json
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import parse_qs

from deploy.ray.exchange import AppRequest

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
    """None where nothing is translated, or what is asked makes no sense: that goes to any app, which says so."""
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
    target_langs = tuple(each for each in targets if isinstance(each, str))
    if not target_langs or len(target_langs) < len(targets):
        return None
    if not isinstance(source_lang, str | None) or not isinstance(model, str | None):
        return None
    return Asked(source_lang, target_langs, model)
