"""The errors of a request; `service/api/errors.py` maps them to HTTP answers."""

from typing import Literal

LanguageField = Literal["source_lang", "target_lang"]

MAX_SHOWN_CHARACTERS = 100


def shown(text: str) -> str:
    """The beginning of a text for an error message: at most 100 characters, as valid Unicode."""
    text = text[: MAX_SHOWN_CHARACTERS + 1].encode(errors="backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 1]}…"


def quoted(text: str) -> str:
    """Like `shown`, in quotes and with escapes for unprintable characters."""
    return shown(repr(text[:MAX_SHOWN_CHARACTERS]))


class ServiceError(Exception):
    """The request failed. The message is sent to its client."""


class UnsupportedLanguageError(ServiceError):
    """No checkpoint supports this language or pair.

    `field` is the field of the request, and `code` its unsupported value.
    """

    def __init__(self, message: str, *, field: LanguageField = "source_lang", code: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class UnsupportedOptionError(ServiceError):
    """An option or a combination of options that this server does not support.

    If a single option has an unsupported value, `option` and `value` name it.
    """

    def __init__(self, message: str, *, option: str = "", value: str = "") -> None:
        super().__init__(message)
        self.option = option
        self.value = value


class TooLargeError(ServiceError):
    """A body, a text, a number of texts or an answer is over its limit, or the work could never fit into the queue.

    `size` and `limit` are the numbers in the message, if both are known.
    """

    def __init__(self, message: str, *, size: int | None = None, limit: int | None = None) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class RetryableError(ServiceError):
    """The request is refused for now; it may succeed in `retry_after_seconds`."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(RetryableError):
    """Too much work is waiting, or too many requests are being served."""


class DeadlineUnreachableError(QueueFullError):
    """The request is expected to take longer than it allows, with the work that is ahead of it."""


class RateSpentError(RetryableError):
    """The API key has used up its requests or characters of this minute."""


class NotReadyError(RetryableError):
    """No worker is ready: the server is starting, or all workers are restarting."""


class DrainingError(RetryableError):
    """The server is shutting down."""


class DeadlineExceededError(ServiceError):
    """The time allowed for the request has passed."""


class EngineFailedError(ServiceError):
    """A step failed, or the worker died again during a replay."""
