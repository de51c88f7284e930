"""What the engine reports about itself; the metrics implement it."""

from typing import Literal, Protocol

from service.engine.types import CheckpointInfo, StepReport

SharedWork = Literal["encode", "request"]


class EngineObserver(Protocol):
    def on_worker_ready(self, worker: str, checkpoints: list[CheckpointInfo]) -> None: ...
    def on_worker_lost(self, worker: str) -> None: ...
    def on_worker_restarted(self, worker: str) -> None: ...
    def on_turn(self, worker: str, report: StepReport) -> None: ...
    def on_shared_work(self, kind: SharedWork) -> None:
        """A source needed no encoding of its own, or a decode had joined an equal one, while that was in flight."""

    def on_cancelled(self) -> None:
        """Nobody subscribed to it any more before it had ended."""
