"""Logging to standard error: one readable line a record on a terminal, one JSON object a record elsewhere.

Records logged while a request is served carry its ids. Texts of requests are only logged if a setting allows it.
Otherwise errors in a request are logged with type and traceback but without their message, which may quote a text.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from service.observability.log_writer import LogWriter

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

BARE_VALUE = re.compile(r"[\w./:-]+")
UNTOLD = "message omitted: it may quote a text"

_request_ids: ContextVar[Mapping[str, str]] = ContextVar("request_ids", default=MappingProxyType({}))


def set_request_ids(**ids: str | None) -> None:
    """Add these fields to all later records of this task and the tasks that it starts; None leaves a field out."""
    _request_ids.set({name: value for name, value in ids.items() if value is not None})


class _Formatter(logging.Formatter):
    """The fields of a record are passed as `extra={"fields": {…}}`."""

    def __init__(self, line: str | None = None, *, with_texts: bool) -> None:
        super().__init__(line, "%H:%M:%S")
        self._with_texts = with_texts

    def formatException(self, ei: Any) -> str:  # noqa: N802
        if self._with_texts or not _request_ids.get() or ei[1] is None:
            return super().formatException(ei)
        return "\n\n".join(map(_without_message, _chain(ei[1])))


class JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(_Formatter):
    def __init__(self, *, with_texts: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", with_texts=with_texts)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        fields = (f" {name}={_bare(value)}" for name, value in _fields(record).items())
        return super().formatMessage(record) + "".join(fields)


def configure_logging(*, log_format: LogFormat, log_level: LogLevel, with_texts: bool = False) -> LogWriter:
    """Send all logging of this process to standard error in this format; `auto` is text on a terminal, else JSON."""
    handler = LogWriter(sys.stderr.fileno())
    is_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler.setFormatter(JsonFormatter(with_texts=with_texts) if is_json else TextFormatter(with_texts=with_texts))
    logging.basicConfig(handlers=[handler], level=log_level.upper(), force=True)
    logging.captureWarnings(True)
    return handler


def take_over(library: str) -> None:
    """Route the records of a library that has its own handler through ours."""
    logger = logging.getLogger(library)
    logger.handlers.clear()
    logger.propagate = True


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    own: Mapping[str, object] = record.__dict__.get("fields", {})
    return {**own, **_request_ids.get()}


def _bare(value: object) -> str:
    is_bare = isinstance(value, str) and BARE_VALUE.fullmatch(value)
    return str(value) if is_bare else json.dumps(value, ensure_ascii=False)


def _chain(error: BaseException | None) -> list[BaseException]:
    """An exception and its causes, the causes first."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.insert(0, error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def _without_message(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"Traceback (most recent call last):\n{frames}{type(error).__qualname__} ({UNTOLD})"
