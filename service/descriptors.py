"""Fits the number of connections to the system's limit of file descriptors, and leaves some for everything else.

If they run out nevertheless, new connections are closed at once and a warning is logged.
"""

import errno
import logging
import os
import resource

from service.api.connections import MAX_OPERATION_CONNECTIONS, NUM_RESERVED

logger = logging.getLogger(__name__)

NUM_OTHERS = 128
"""Descriptors reserved for the listeners, workers, Redis, the log and files."""
SECONDS_BETWEEN_WARNINGS = 60.0


def fit_connections(max_connections: int, *, has_operation_port: bool) -> int:
    """Raise the process's own limit to that of the system, and return the number of connections that then fit.

    A number below `max_connections` is logged as a warning.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    num_at_operation = MAX_OPERATION_CONNECTIONS + NUM_RESERVED if has_operation_port else 0
    room = max(1, hard - NUM_OTHERS - NUM_RESERVED - num_at_operation)
    if hard == resource.RLIM_INFINITY or room >= max_connections:
        return max_connections
    logger.warning("%d descriptors may be open: at most %d connections, not %d", hard, room, max_connections)
    return room


class DescriptorWatch:
    """Logs that descriptors have run out, which uvloop does not: it accepts connections and closes them."""

    def __init__(self) -> None:
        self._quiet_until = float("-inf")

    def look(self, now: float) -> None:
        """Warn if no descriptor is free, at most once in SECONDS_BETWEEN_WARNINGS; `now` is in seconds."""
        if now < self._quiet_until:
            return
        try:
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return
            self._quiet_until = now + SECONDS_BETWEEN_WARNINGS
            cause = os.strerror(error.errno).lower()
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            logger.warning(
                "no descriptor is free, new connections are closed: %s (this process may open %d)", cause, limit
            )
