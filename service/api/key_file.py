"""A file of API keys that is read again when it changes, so that keys are added and revoked without a restart."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from service.api.api_keys import ApiKey
from service.api.key_entries import ApiKeysError, parse_lines

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""The pause between two looks at the file."""
Signature = tuple[int, int, int] | None


class KeyFile:
    """Looks at the file when keys are needed, at most once every LOOK_SECONDS.

    No task and no thread is needed for that, and a look takes microseconds. A file that cannot be read or parsed leaves
    the keys as they were, and is logged once.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ApiKeysError."""
        self._path = path
        self._clock = clock
        self._seen = self._signature()
        self._keys = _read(path)
        self._next_look = clock() + LOOK_SECONDS

    def current(self) -> tuple[ApiKey, ...]:
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        return self._keys

    def _look(self) -> None:
        signature = self._signature()  # before the file is read: a change after that is seen at the next look
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._keys = _read(self._path)
        except ApiKeysError as error:
            logger.error("the API keys stay as they were: %s", error)
        else:
            logger.info("read %d API keys from %s", len(self._keys), self._path)

    def _signature(self) -> Signature:
        try:
            status = os.stat(self._path)  # noqa: PTH116  # follows links, as Kubernetes makes them for its Secrets
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def _read(path: Path) -> tuple[ApiKey, ...]:
    """Raises ApiKeysError."""
    try:
        return parse_lines(path.read_text(encoding="utf-8-sig"))
    except ApiKeysError as error:
        raise ApiKeysError(f"{str(path)!r}: {error}") from error
    except OSError as error:
        raise ApiKeysError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ApiKeysError(f"{str(path)!r} is not UTF-8") from None
