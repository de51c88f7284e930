"""LibreTranslate's errors: `{"error": sentence}`. Its clients depend on the statuses and some of the sentences."""

import msgspec

from service.api.dialect import Dialect, Refusal
from service.api.errors import MalformedError
from service.errors import (
    QueueFullError,
    RateSpentError,
    TooLargeError,
    UnsupportedLanguageError,
    UnsupportedOptionError,
    shown,
)


class LibreTranslateError(msgspec.Struct, frozen=True):
    error: str


def _body(refusal: Refusal) -> LibreTranslateError:
    return LibreTranslateError(_sentence(refusal))


def _sentence(refusal: Refusal) -> str:
    match refusal.error:
        case UnsupportedLanguageError(code=code) if code:
            return f"{shown(code.lower())} is not supported"
        case UnsupportedOptionError(option="format", value=value):
            return f"{shown(value)} format is not supported"
        case TooLargeError(size=int(size), limit=limit):
            return f"Invalid request: request ({size}) exceeds text limit ({limit})"
        case MalformedError():
            return "Invalid JSON format"
        case QueueFullError() | RateSpentError():
            return f"Slowdown: {refusal.detail}"
    return f"Invalid request: {refusal.detail}" if refusal.problem.slug == "too-large" else refusal.detail


DIALECT = Dialect(LibreTranslateError, _body, {"too-large": 400, "malformed": 400, "unauthorized": 403})
