"""Dialects: the statuses and bodies with which an API refuses requests. Every API on the port has its own dialect.

`service/api/errors.py` decides what went wrong, independently of any API; a dialect turns that into an answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from service.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of refusal. `status` and `title` are the native API's."""

    status: int
    slug: str
    title: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason for refusing one request. `error` is None if the HTTP layer refused it or a bug made it fail."""

    problem: Problem
    detail: str
    request_id: str
    error: ServiceError | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """`statuses` maps slugs of problems to statuses, where they differ from the native ones."""

    body_type: type[msgspec.Struct]
    body: Callable[[Refusal], msgspec.Struct]
    statuses: Mapping[str, int] = field(default_factory=dict)
    media_type: str = "application/json"

    def status(self, problem: Problem) -> int:
        return self.statuses.get(problem.slug, problem.status)
