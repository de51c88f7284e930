"""Specs that were aboard when two workers died are refused for a while. Pure policy: time is an argument."""

from model.search.spec import DecodeSpec

QUARANTINE_SECONDS = 600.0
MAX_SPECS = 1024


class Quarantine:
    def __init__(self) -> None:
        self._ends_at: dict[DecodeSpec, float] = {}
        """The end of the quarantine by spec, earliest first."""

    def add(self, spec: DecodeSpec, *, now: float) -> None:
        self._ends_at.pop(spec, None)
        self._ends_at[spec] = now + QUARANTINE_SECONDS
        if len(self._ends_at) > MAX_SPECS:
            del self._ends_at[next(iter(self._ends_at))]

    def holds(self, spec: DecodeSpec, *, now: float) -> bool:
        if not self._ends_at:
            return False
        ends_at = self._ends_at.get(spec)
        if ends_at is not None and ends_at <= now:
            del self._ends_at[spec]
            return False
        return ends_at is not None
