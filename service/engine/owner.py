"""Whose work a decode is."""

from typing import Literal, NamedTuple

Priority = Literal["interactive", "bulk"]


class Owner(NamedTuple):
    """The request that a decode was opened for. `client` is the name of its API key; empty without keys."""

    client: str
    request_id: int
    priority: Priority
