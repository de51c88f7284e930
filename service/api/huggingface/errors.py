"""Hugging Face's errors: `{"error", "error_type"}`.

Its client knows four types and loses the status of errors with any other type, so other statuses have no type.
"""

from types import MappingProxyType

import msgspec

from service.api.dialect import Dialect, Refusal

ERROR_TYPES = MappingProxyType({422: "validation", 424: "generation", 429: "overloaded", 500: "incomplete_generation"})
STATUSES = MappingProxyType(
    {"unsupported-language": 422, "unsupported-option": 422, "too-large": 422, "engine-failed": 424}
)


class HuggingFaceError(msgspec.Struct, frozen=True, omit_defaults=True):
    error: str
    error_type: str | None = None


def _body(refusal: Refusal) -> HuggingFaceError:
    return HuggingFaceError(refusal.detail, ERROR_TYPES.get(DIALECT.status(refusal.problem)))


DIALECT = Dialect(HuggingFaceError, _body, STATUSES)
