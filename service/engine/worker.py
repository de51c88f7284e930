"""The worker process: inbox -> schedulers -> batches -> reports.

The life of a turn: (1) read the inbox, blocking while idle; (2) choose which waiting decodes get rows, and log
them; (3) encode their sources and fill their rows; (4) decode a token for every row; (5) send one report. Any failure
outside a step ends the process, and the service process replays its work elsewhere. The worker ends with its channel,
so it never outlives the service process.
"""

import time
from collections.abc import Mapping

import msgspec

from service.engine.channel import Channel
from service.engine.checkpoint_loop import CheckpointLoop
from service.engine.entry_log import EntryLog
from service.engine.lanes import Lanes, RunningBatch
from service.engine.scheduler import Scheduler
from service.engine.types import Cancel, StepReport, Submit, ToWorker, Update


class Worker:
    """All checkpoints of a worker process. Each has its own batch; they take turns, a step each."""

    def __init__(self, loops: Mapping[str, CheckpointLoop]) -> None:
        """`loops` by the name of the checkpoint."""
        self._loops = loops

    @property
    def is_idle(self) -> bool:
        return all(loop.is_idle for loop in self._loops.values())

    def receive(self, message: ToWorker) -> None:
        match message:
            case Submit(work, encoder_outputs):
                for each in work:
                    self._loops[each.spec.checkpoint].submit(each, encoder_outputs.get(each.decode_id))
            case Update():
                for loop in self._loops.values():
                    loop.update(message)
            case Cancel(decode_ids):
                for loop in self._loops.values():
                    loop.cancel(decode_ids)

    def turn(self) -> StepReport:
        """Take one turn of every checkpoint that has work."""
        report = StepReport([], [], [], [], [], num_running=0, num_free_rows=0, num_waiting=0)
        for loop in self._loops.values():
            if loop.is_idle:
                continue
            turn, stats = loop.turn()
            report.started.extend(turn.started)
            report.encoded.extend(turn.encoded)
            report.progress.extend(turn.progress)
            report.failed.extend(turn.failed)
            report.steps.append(stats)
        return msgspec.structs.replace(
            report,
            num_running=sum(loop.num_running for loop in self._loops.values()),
            num_free_rows=sum(loop.num_free_rows for loop in self._loops.values()),
            num_waiting=sum(loop.num_waiting for loop in self._loops.values()),
        )


def make_loop(
    batch: RunningBatch,
    express: RunningBatch | None,
    entry_log: EntryLog,
    *,
    max_encode_tokens: int,
    max_bulk_wait_seconds: float,
) -> CheckpointLoop:
    lanes = Lanes(batch, express)
    scheduler = Scheduler(
        max_admitted_tokens=max_encode_tokens,
        max_bulk_wait_seconds=max_bulk_wait_seconds,
        num_express_rows=lanes.num_free_express_rows,
    )
    return CheckpointLoop(lanes, scheduler, log_entries=entry_log.write, clock=time.monotonic)


def serve(channel: Channel, worker: Worker) -> None:
    """Take turns until the service process is gone."""
    decoder = msgspec.msgpack.Decoder(ToWorker)
    encoder = msgspec.msgpack.Encoder()
    while True:
        for payload in channel.receive(block=worker.is_idle):
            worker.receive(decoder.decode(payload))
        channel.send(encoder.encode(worker.turn()))
