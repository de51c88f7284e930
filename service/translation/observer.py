"""The measurements of a translation."""

from typing import Protocol


class TranslationObserver(Protocol):
    """Called for streams only, because the tokens of a plain answer arrive together."""

    def observe_first_token(self, seconds: float) -> None:
        """The time from a request's arrival to its first token."""

    def observe_next_token(self, seconds: float) -> None:
        """The time between two reports of new tokens of one decode."""
