"""What can go wrong with a request, in the service's words; `service/api/errors.py` gives each its HTTP answer."""


class ServiceError(Exception):
    """A request that gets no translation; the message is for its client."""


class UnsupportedLanguageError(ServiceError):
    """The model has not this language, or not this pair."""


class UnsupportedOptionError(ServiceError):
    """An option, or a combination of options, that this server does not serve."""


class TooLargeError(ServiceError):
    """A body, a text or a number of texts over its limit, or work that could never fit the queue."""


class RetryableError(ServiceError):
    """Refused for now; the same request may pass in `retry_after_seconds`."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(RetryableError):
    """Too many source tokens wait already."""


class NotReadyError(RetryableError):
    """No worker is ready: the server is starting, or all workers are being started again."""


class DrainingError(RetryableError):
    """The server is shutting down."""


class DeadlineExceededError(ServiceError):
    """The request's time is over."""


class EngineFailedError(ServiceError):
    """A step failed, or the worker died again after a replay."""
