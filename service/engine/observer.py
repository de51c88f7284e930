"""The reports of the engine; metrics implement the observer."""

from typing import Literal, Protocol

from service.engine.types import CheckpointInfo, StepReport

SharedWork = Literal["encode", "request"]


class EngineObserver(Protocol):
    def on_worker_ready(self, worker: str, checkpoints: list[CheckpointInfo]) -> None: ...
    def on_worker_lost(self, worker: str) -> None: ...
    def on_worker_restarted(self, worker: str) -> None: ...
    def on_turn(self, worker: str, report: StepReport) -> None: ...
    def on_shared_work(self, kind: SharedWork) -> None:
        """A source was encoded for another decode in flight, or a decode joined an equal one in flight."""

    def on_cancelled(self) -> None:
        """A decode lost its last subscriber before it ended."""
