"""The outcome of a request as its client sees it, from a whole answer."""

import json
from types import MappingProxyType

from loadtests.reliability.http_replies import Reply
from loadtests.reliability.journal import Outcome

OUTCOME_OF_STATUS: MappingProxyType[int, Outcome] = MappingProxyType(
    {
        200: "ok",
        **dict.fromkeys((400, 404, 405, 408, 413, 415, 422, 431), "invalid"),
        **dict.fromkeys((429, 503), "refused"),
        504: "timeout",
    }
)
ENGINE_FAILED = "urn:kakehashi:problem:engine-failed"
"""The only 500 that is no bug: two workers died with the same sentence."""


class MisbehaviourError(Exception):
    """The server's answer breaks a promise."""


def outcome_of(reply: Reply) -> Outcome:
    """Raises MisbehaviourError for an answer that is not documented."""
    if reply.status != 200:
        return _outcome_of_problem(reply.status, reply.body)
    if not reply.headers.get("content-type", "").startswith("text/event-stream"):
        return "ok"
    events = read_events(reply.body)
    names = [name for name, _ in events if name in ("done", "error")]
    if len(names) != 1 or events[-1][0] != names[0]:
        raise MisbehaviourError(f"a stream whose last events are {names}")
    return "ok" if names == ["done"] else _outcome_of_problem(json.loads(events[-1][1])["status"], events[-1][1])


def text_of(reply: Reply) -> str:
    """The translation of the one text in an answer that is ok, from its deltas if it is a stream."""
    if not reply.headers["content-type"].startswith("text/event-stream"):
        return str(json.loads(reply.body)["translations"][0]["text"])
    return "".join(json.loads(data)["text"] for name, data in read_events(reply.body) if name == "token")


def read_events(body: bytes | bytearray) -> list[tuple[str, bytes]]:
    """The names and the data of the events, without comments."""
    found = []
    for block in bytes(body).split(b"\n\n"):
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line and not line.startswith(b":"))
        if fields:
            found.append((fields.get(b"event", b"").decode(), fields[b"data"]))
    return found


def _outcome_of_problem(status: int, body: bytes | bytearray) -> Outcome:
    if status == 500 and json.loads(body)["type"] == ENGINE_FAILED:
        return "error"
    if status not in OUTCOME_OF_STATUS:
        raise MisbehaviourError(f"status {status}: {bytes(body[:300])!r}")
    return OUTCOME_OF_STATUS[status]
