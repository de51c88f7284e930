"""An engine without workers, with the interface of the real one.

A decode takes its tokens from a script, one per turn of the event loop. Nothing moves while the engine is held, so a
test can inspect any moment of a request. `open_specs` must be empty when no request is in flight.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from model.search.results import Details, Hypothesis, Progress, Token
from model.search.spec import DecodeSpec
from service.engine.events import Failed, Started
from service.engine.owner import Owner, Priority
from service.engine.subscription import Subscription
from service.engine.types import CheckpointInfo
from service.errors import DeadlineUnreachableError, DrainingError, NotReadyError, QueueFullError

END_ID = 2
"""The end token of the bundled model."""
Script = Callable[[DecodeSpec], "list[Token] | str"]
"""Returns the tokens of a decode, or the detail of its failure."""


def echo(spec: DecodeSpec) -> list[Token]:
    """Repeat the source without the special tokens around it."""
    details = Details(
        tuple((id_, 1.0 / (id_ + 1)) for id_ in range(spec.num_top_tokens)),
        tuple(1.0 / len(spec.source_ids) for _ in spec.source_ids) if spec.with_alignment else (),
    )
    return [Token(token_id, -0.5, details) for token_id in (*spec.source_ids[1:-1], END_ID)][: spec.max_new_tokens]


@dataclass(frozen=True, slots=True)
class PreparedScript:
    spec: DecodeSpec
    is_cacheable: bool


@dataclass(slots=True, eq=False)
class _ScriptedDecode:
    decode_id: int
    key: int
    spec: DecodeSpec
    subscription: Subscription
    is_streamed: bool
    rest: list[Token]
    failure: str | None
    said: list[Token] = field(default_factory=list)


class RecordedSubscription(Subscription):
    """Records the `deadline` of the submission and the `linger_seconds` of the close, which is None until then."""

    deadline: float | None = None
    linger_seconds: float | None = None

    def close(self, *, linger_seconds: float = 0.0) -> None:
        self.linger_seconds = linger_seconds
        super().close(linger_seconds=linger_seconds)


class ScriptedEngine:
    """`submitted` and `subscriptions` keep everything, in order."""

    num_workers = 1
    retry_after_seconds = 1

    def __init__(self, checkpoint: CheckpointInfo, *, script: Script = echo, max_queue_tokens: int = 10_000) -> None:
        self.is_ready = True
        self.seconds_without_worker = 0.0
        self.max_queue_tokens = max_queue_tokens
        self.queue_tokens = 0
        """Set by tests; nothing waits for rows here."""
        self.checkpoints: Mapping[str, CheckpointInfo] = {checkpoint.name: checkpoint}
        self.submitted: list[PreparedScript] = []
        self.subscriptions: list[RecordedSubscription] = []
        self.tokens_in_time: int | None = None
        """Set by tests; a request of more is refused for its deadline."""
        self._script = script
        self._open: dict[int, _ScriptedDecode] = {}
        self._ids = count(1)
        self._is_held = False
        self._is_due = False

    @property
    def open_specs(self) -> list[DecodeSpec]:
        return [decode.spec for decode in self._open.values()]

    @property
    def min_rows(self) -> int:
        return min(info.max_rows for info in self.checkpoints.values())

    def hold(self) -> None:
        self._is_held = True

    def release(self) -> None:
        self._is_held = False
        self._schedule()

    def check_room(self, client: str) -> None:
        if not self.is_ready:
            raise NotReadyError("no worker is ready", retry_after_seconds=1)
        if self.queue_tokens >= self.max_queue_tokens:
            raise QueueFullError(f"{self.queue_tokens} tokens are waiting to be generated", retry_after_seconds=1)

    def check_estimate(self, num_tokens: int, *, client: str, priority: Priority, deadline: float) -> None:
        if self.tokens_in_time is not None and num_tokens > self.tokens_in_time:
            raise DeadlineUnreachableError(f"{num_tokens} tokens would take too long", retry_after_seconds=1)

    def expected_tokens(self, decodes: Sequence[PreparedScript]) -> int:
        return sum(len(each.spec.source_ids) for each in decodes)

    def prepare(self, specs: Sequence[DecodeSpec], *, is_cacheable: bool) -> list[PreparedScript]:
        return [PreparedScript(spec, is_cacheable) for spec in specs]

    def submit(
        self,
        decodes: Sequence[PreparedScript],
        *,
        client: str,
        priority: Priority,
        is_streamed: bool,
        deadline: float | None,
    ) -> RecordedSubscription:
        self.check_room(client)
        if self.queue_tokens + sum(len(each.spec.source_ids) for each in decodes) > self.max_queue_tokens:
            raise QueueFullError("the queue is full", retry_after_seconds=1)
        subscription = RecordedSubscription(
            Owner(client, next(self._ids), priority), deadline=deadline, leave=self._leave
        )
        subscription.deadline = deadline
        self.subscriptions.append(subscription)
        self.extend(subscription, decodes, is_streamed=is_streamed)
        return subscription

    def extend(self, subscription: Subscription, decodes: Sequence[PreparedScript], *, is_streamed: bool) -> None:
        assert len({each.spec for each in decodes}) == len(decodes), "equal specs in one submit"
        self.submitted += decodes
        for each in decodes:
            scripted = self._script(each.spec)
            rest, failure = ([], scripted) if isinstance(scripted, str) else (list(scripted), None)
            decode_id, key = next(self._ids), subscription.expect()
            if not subscription.has_left:
                self._open[decode_id] = _ScriptedDecode(
                    decode_id, key, each.spec, subscription, is_streamed, rest, failure
                )
        self._schedule()

    def encoder_cache_use(self, checkpoint: str) -> tuple[int, int]:
        return 0, sum(each.spec.checkpoint == checkpoint for each in self.submitted)

    async def aclose(self) -> None:
        self.is_ready = False
        for decode in list(self._open.values()):
            decode.subscription.abort(DrainingError("the server is shutting down", retry_after_seconds=5))

    def _leave(self, subscription: Subscription) -> None:
        self._open = {id_: each for id_, each in self._open.items() if each.subscription is not subscription}

    def _schedule(self) -> None:
        if self._open and not self._is_held and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        if not self._is_held:
            for decode in list(self._open.values()):
                self._advance(decode)
        self._schedule()

    def _advance(self, decode: _ScriptedDecode) -> None:
        push, spec = decode.subscription.push, decode.spec
        if not decode.said:
            push(decode.key, Started(decode.decode_id, 0.0, encoded=True))
        if decode.failure is not None:
            del self._open[decode.decode_id]
            push(decode.key, Failed(decode.decode_id, decode.failure))
            return
        decode.said.append(decode.rest.pop(0))
        tokens = decode.said[-1:] if decode.is_streamed else decode.said
        if not decode.rest:
            del self._open[decode.decode_id]
            push(decode.key, Progress(decode.decode_id, tokens, (_hypothesis(decode.said),) * spec.num_hypotheses))
        elif decode.is_streamed:
            push(decode.key, Progress(decode.decode_id, tokens))


def _hypothesis(tokens: Sequence[Token]) -> Hypothesis:
    ids = tuple(token.token_id for token in tokens)
    logprobs = tuple(token.logprob for token in tokens)
    return Hypothesis(ids, logprobs, -0.5, "stop" if ids[-1] == END_ID else "length")
