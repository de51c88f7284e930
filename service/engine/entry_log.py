"""The decodes to which a worker is giving rows, in a place that the service process can read after the worker's death.

It is a file in memory that both processes keep open. Unlike a message it wakes no process, and it outlives the worker.
"""

import os
from array import array
from collections.abc import Sequence
from typing import Self

ITEM_BYTES = 8


class EntryLog:
    """Holds the ids of the last write. Its owner closes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def create(cls) -> Self:
        log = cls(os.memfd_create("kakehashi-entries"))
        log.write([])
        return log

    def fileno(self) -> int:
        return self._descriptor

    def write(self, decode_ids: Sequence[int]) -> None:
        os.pwrite(self._descriptor, array("q", [len(decode_ids), *decode_ids]).tobytes(), 0)

    def read(self) -> list[int]:
        numbers = array("q")
        numbers.frombytes(os.pread(self._descriptor, ITEM_BYTES, 0))
        (num_ids,) = numbers
        numbers.frombytes(os.pread(self._descriptor, num_ids * ITEM_BYTES, ITEM_BYTES))
        return numbers[1:].tolist()

    def close(self) -> None:
        os.close(self._descriptor)
