"""Everything known about a request so far, kept in its scope."""

from dataclasses import dataclass

from starlette.types import Scope

from service.api.api_keys import ApiKey
from service.api.dialect import Dialect
from service.rates.allowance import UNLIMITED, Allowance
from service.translation.results import Usage


@dataclass(slots=True)
class RequestRecord:
    """`outcome` is set if it does not follow from the status."""

    request_id: str
    dialect: Dialect
    """The dialect of the API that the path belongs to."""
    is_probe: bool = False
    """Whether the request only reads the state of the server."""
    is_stream: bool = False
    outcome: str | None = None
    status: int | None = None
    is_delivered: bool = True
    """False if the client did not take the whole answer."""
    key: str | None = None
    """The name of the request's API key."""
    allowance: Allowance = UNLIMITED
    texts: tuple[str, ...] = ()
    usage: Usage | None = None

    def admit(self, key: ApiKey) -> None:
        self.key, self.allowance = key.name, key.allowance


def set_record(scope: Scope, record: RequestRecord) -> None:
    scope.setdefault("state", {})["record"] = record


def record_of(scope: Scope) -> RequestRecord:
    record = scope["state"]["record"]
    assert isinstance(record, RequestRecord)
    return record
