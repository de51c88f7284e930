"""What one API key may use in a minute."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits in any minute; None is no limit."""

    requests: int | None = None
    characters: int | None = None


UNLIMITED = Allowance()
