"""Stands in for the process of a GPU benchmark's parts. Imports no torch: each process of a test imports it."""

import os
from multiprocessing.connection import Connection

from loadtests.bench.gpu.report import Part


def fail_in_many_ways(connection: Connection, device: str) -> None:
    """Crash in `parity`, hang in `steps`, and answer otherwise."""
    connection.send(device)
    while True:
        name, max_seconds = connection.recv()
        if name == "parity":
            os._exit(1)
        if name == "steps":
            connection.recv()
        connection.send((Part(name, max_seconds), True))
