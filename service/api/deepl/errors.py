"""DeepL's errors: `{"message", "detail"}`, both strings. Its clients depend on statuses, and expect no 401 or 422."""

import msgspec

from service.api.dialect import Dialect, Refusal
from service.errors import UnsupportedLanguageError, UnsupportedOptionError

FIELDS = {"format": "tag_handling"}
"""Option of a `TranslationRequest` -> DeepL's name for it."""


class DeepLError(msgspec.Struct, frozen=True, omit_defaults=True):
    """`message` is DeepL's own sentence where it has one; `detail` then says more."""

    message: str
    detail: str | None = None


def not_supported(field: str) -> str:
    return f"Value for '{field}' not supported."


def _body(refusal: Refusal) -> DeepLError:
    match refusal.error:
        case UnsupportedLanguageError(field=field):
            return DeepLError(not_supported(field), refusal.detail)
        case UnsupportedOptionError(option=option) if option in FIELDS:
            return DeepLError(not_supported(FIELDS[option]), refusal.detail)
    return DeepLError(refusal.detail)


DIALECT = Dialect(DeepLError, _body, {"unauthorized": 403, "malformed": 400})
