"""What can go wrong with a request, in the service's words; `service/api/errors.py` gives each its HTTP answer."""

MAX_SHOWN_CHARACTERS = 100


def shown(text: str) -> str:
    """What an error message shows of a request: at most 100 characters, any text as valid Unicode."""
    text = text[: MAX_SHOWN_CHARACTERS + 1].encode(errors="backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 1]}…"


def quoted(text: str) -> str:
    """The same in quotes, with escapes for what cannot be printed."""
    return shown(repr(text[:MAX_SHOWN_CHARACTERS]))


class ServiceError(Exception):
    """A request that gets no translation; the message is for its client."""


class UnsupportedLanguageError(ServiceError):
    """No checkpoint has this language or this pair."""


class UnsupportedOptionError(ServiceError):
    """An option or a combination of options that this server does not serve."""


class TooLargeError(ServiceError):
    """A body, a text, a number of texts or an answer over its limit, or work that could never fit the queue."""


class RetryableError(ServiceError):
    """Refused for now; the same request may pass in `retry_after_seconds`."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(RetryableError):
    """Too many source tokens are waiting, or too many requests are being served."""


class NotReadyError(RetryableError):
    """No worker is ready: the server is starting, or all workers are being started again."""


class DrainingError(RetryableError):
    """The server is shutting down."""


class DeadlineExceededError(ServiceError):
    """The time allowed for the request has passed."""


class EngineFailedError(ServiceError):
    """A step failed, or the worker died again after a replay."""
