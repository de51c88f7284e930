"""The rows of one checkpoint, in two lanes that share the time of the worker.

A step takes longer the more rows there are, so a sentence among many rows takes many times as long as one alone. While
one client or request has most of the rows, decodes of others therefore go into the few rows of the express lane. While
both lanes have decodes, each gets half of the time, encoding included. The express lane goes first, with a lead that is
enough for a short sentence.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from model.search.results import Progress
from model.search.spec import DecodeSpec
from service.engine.turns import SourceIds

MAX_TURN_SECONDS = 0.002
"""The length of a turn that decodes several tokens at once: a request that arrives meanwhile waits for it."""
EXPRESS_TURN_SECONDS = 0.004
"""A turn of few rows in between those of many, of which one step takes about as long."""
EXPRESS_LEAD_SECONDS = 0.01
"""How much more time than the main lane the express lane may have had and still get the next turn."""
MAX_TOKENS_AHEAD = 16


class RunningBatch(Protocol):
    """The rows of one checkpoint, as a worker uses them; `Runner` is the real one.

    An encoder output is opaque to the worker. Any method may raise UnusableDeviceError.
    """

    @property
    def num_rows(self) -> int: ...
    @property
    def num_free_rows(self) -> int: ...
    def encode(self, sources: Sequence[SourceIds]) -> tuple[list[object], int]:
        """The encoder output of each source, and the number of padding tokens that were encoded."""

    def fetch(self, encoder_outputs: Sequence[object]) -> Callable[[], list[bytes]]:
        """Start copying encoder outputs to the host. The returned function waits for their bytes."""

    def from_bytes(self, encoder_output: bytes, *, num_tokens: int) -> object:
        """Raises ValueError if the number of bytes does not match `num_tokens`."""

    def add(self, decodes: Sequence[tuple[int, DecodeSpec, object]]) -> None:
        """Start decodes, given as id, spec and encoder output. After a ValueError nothing has changed."""

    def remove(self, decode_ids: Sequence[int]) -> None:
        """Free the rows of these decodes; unknown ids are ignored."""

    def step(self, *, max_tokens: int = 1) -> list[Progress]:
        """Decode up to `max_tokens` for every row. Decodes that finish, or end with a problem, leave their rows.

        Where a device works while the host reads, the progress is that of the call before; at first there is none.
        """


@dataclass(slots=True, eq=False)
class Lane:
    batch: RunningBatch
    max_turn_seconds: float = MAX_TURN_SECONDS
    step_seconds: float = MAX_TURN_SECONDS
    """The time of one token for every row, in the last turn."""
    num_measured_rows: int = 1
    """The rows in that turn."""

    @property
    def num_tokens_ahead(self) -> int:
        """The number of tokens that fit a turn, if a step takes at most longer by as much as there are more rows."""
        growth = max(1.0, self.batch.num_rows / self.num_measured_rows)
        return max(1, min(MAX_TOKENS_AHEAD, int(self.max_turn_seconds / (self.step_seconds * growth))))


class Lanes:
    def __init__(self, main: RunningBatch, express: RunningBatch | None) -> None:
        """Without `express` there is one lane."""
        self.main = Lane(main)
        self.express = None if express is None else Lane(express, EXPRESS_TURN_SECONDS)
        self._lead_seconds = 0.0
        """How much more time the express lane had than the main lane, since both have had decodes."""

    @property
    def num_rows(self) -> int:
        """The rows in use."""
        return self.main.batch.num_rows + self._num_express_rows

    @property
    def num_free_main_rows(self) -> int:
        """Rows for decodes that may enter now: none in a turn of the express lane, which their encoding would delay."""
        is_mains_turn = self.next() is self.main or not self.main.batch.num_rows
        return self.main.batch.num_free_rows if is_mains_turn else 0

    @property
    def num_free_express_rows(self) -> int:
        return 0 if self.express is None else self.express.batch.num_free_rows

    def next(self) -> Lane:
        """The lane whose turn it is."""
        if self.express is None or not self._num_express_rows:
            self._lead_seconds = 0.0
            return self.main
        is_ahead = self._lead_seconds > EXPRESS_LEAD_SECONDS
        return self.main if is_ahead and self.main.batch.num_rows else self.express

    def took(self, lane: Lane, seconds: float, *, num_rows: int, num_steps: int) -> None:
        """A turn of this lane decoded `num_steps` tokens for each of its rows."""
        self._lead_seconds += seconds if lane is self.express else -seconds
        if num_steps and seconds > 0:
            lane.step_seconds, lane.num_measured_rows = seconds / num_steps, num_rows

    def encoded(self, seconds: float, *, is_express: bool) -> None:
        """The sources of decodes that enter one of the lanes were encoded."""
        self._lead_seconds += seconds if is_express else -seconds

    def is_alone(self, lane: Lane) -> bool:
        """Whether the other lane is empty."""
        return lane.batch.num_rows == self.num_rows

    def remove(self, decode_ids: Sequence[int]) -> None:
        """Free the rows of these decodes; unknown ids are ignored."""
        self.main.batch.remove(decode_ids)
        if self.express is not None:
            self.express.batch.remove(decode_ids)

    def add(self, decodes: Iterable[tuple[int, DecodeSpec, object]], *, express_ids: set[int]) -> None:
        """Start decodes. After a ValueError some of them may have started."""
        decodes = list(decodes)
        self.main.batch.add([each for each in decodes if each[0] not in express_ids])
        if self.express is not None and express_ids:
            self.express.batch.add([each for each in decodes if each[0] in express_ids])

    @property
    def _num_express_rows(self) -> int:
        return 0 if self.express is None else self.express.batch.num_rows
