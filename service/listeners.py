"""The sockets that the server listens on. They are bound before anything else starts, so a taken port fails early."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

BACKLOG = 2048


class ListenError(Exception):
    """An address that cannot be listened on; the message names it."""


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Listen on a socket for each address of `host`. Raises ListenError."""
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            listeners = [
                stack.enter_context(_listen(family, address)) for family, _, _, _, address in dict.fromkeys(found)
            ]
        except OSError as error:
            cause = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error.strerror
            raise ListenError(f"cannot listen on {host} port {port}: {cause}") from error
        yield listeners


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
