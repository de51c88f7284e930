"""Fits the number of connections to the system's limit of file descriptors, and leaves some for everything else."""

import logging
import resource

from service.api.connections import MAX_OPERATION_CONNECTIONS, NUM_RESERVED

logger = logging.getLogger(__name__)

NUM_OTHERS = 128
"""Descriptors reserved for the listeners, workers, Redis, the log and files."""


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
