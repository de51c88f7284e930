"""Stands in for the process of a GPU benchmark's parts. Imports no torch: each process of a test imports it."""

import os
from multiprocessing.connection import Connection

from loadtests.bench.gpu.part_process import send_unfinished
from loadtests.bench.gpu.report import Part

STARTED = "TEST_PART_PROCESS_STARTED"


def fail_in_many_ways(connection: Connection, device: str) -> None:
    """Crash in `parity`, hang in `steps`, end after `memory`, and answer otherwise. Each part has a note by then."""
    connection.send(device)
    while True:
        name, max_seconds = connection.recv()
        part = Part(name, max_seconds, notes=["measured before"])
        send_unfinished(connection, part)
        if name == "parity":
            os._exit(1)
        if name == "steps":
            connection.recv()
        connection.send((part, True))
        if name == "memory":
            return


def refuse_to_start_again(connection: Connection, device: str) -> None:
    """Crash in any part; once that has happened, the device cannot be used."""
    if os.environ.get(STARTED):
        os._exit(1)
    connection.send(device)
    connection.recv()
    os._exit(1)
