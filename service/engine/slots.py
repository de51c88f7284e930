"""The slots of a worker's caches, kept compact.

    rows   [ r0 | r1 | r2 | r3 |    |    ]      max_rows = 6
    slot     0    1    2    3    4    5
             <---- running ---> <- free ->

Slot i of the caches belongs to `rows[i]`. Running rows always fill slots 0..n-1, so that a batch is a view of the
caches. A row enters at slot n; when one leaves, the last row moves into its slot, and the `Move` says so.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Slotted(Protocol):
    slot: int | None


RowT = TypeVar("RowT", bound=Slotted)


@dataclass(frozen=True, slots=True)
class Move:
    """The row in slot `source` now belongs in slot `target`."""

    source: int
    target: int


class Slots(Generic[RowT]):
    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.rows: list[RowT] = []

    @property
    def num_free(self) -> int:
        return self.max_rows - len(self.rows)

    def take(self, row: RowT) -> None:
        """Give `row` the first free slot."""
        assert self.num_free > 0, "a row was admitted without a free slot"
        row.slot = len(self.rows)
        self.rows.append(row)

    def release(self, leaving: list[RowT]) -> list[Move]:
        """Free the slots of `leaving`. The moves must be carried out in the order given.

        From the highest slot down: the last row then never is one that leaves too, and is moved at most once.
        """
        moves = []
        for row in sorted(leaving, key=lambda row: row.slot or 0, reverse=True):
            slot, row.slot = row.slot, None
            assert slot is not None, "a row without a slot was released"
            last = self.rows.pop()
            if last is not row:
                moves.append(Move(source=len(self.rows), target=slot))
                self.rows[slot] = last
                last.slot = slot
        return moves
