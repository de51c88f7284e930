"""Laws of a turn, with a scripted batch: no model is needed to state them."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from model.search.results import Hypothesis, Progress, Token
from model.search.spec import DecodeSpec
from service.engine.checkpoint_loop import MAX_FAILED_STEPS, CheckpointLoop, StepsFailError, UnusableDeviceError
from service.engine.events import Failed, Started
from service.engine.lanes import Lanes
from service.engine.owner import Priority
from service.engine.scheduler import Scheduler
from service.engine.turns import SourceIds
from service.engine.types import Cancel, EncodedSubmit, EncodedWork, StepReport, Submit, ToWorker, Update, Work
from service.engine.worker import Worker

EOS = 2
TOKEN = Token(9, -0.5)
BEST = Hypothesis((9,), (-0.5,), -0.5, "stop")
MAX_ROWS = 2


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ScriptedBatch:
    """Decodes token 9 for ever; a test can make it end or fail."""

    def __init__(self) -> None:
        self.ends = False
        self.fails_in: str | None = None
        self.error: Exception = RuntimeError("out of memory")
        self.is_behind = False
        """Whether the next step only starts work on a device."""
        self.broken: set[int] = set()
        """Decodes that end with a problem."""
        self.encoded: list[SourceIds] = []
        self.rows: dict[int, DecodeSpec] = {}
        self.outputs: list[object] = []
        self.clock = ManualClock()
        self.step_seconds = 1.0
        self.max_tokens: list[int] = []
        """The argument of every step."""

    @property
    def num_rows(self) -> int:
        return sum(spec.beam_size for spec in self.rows.values())

    @property
    def num_free_rows(self) -> int:
        return MAX_ROWS - self.num_rows

    def encode(self, sources: Sequence[SourceIds]) -> tuple[list[object], int]:
        self.encoded += sources
        return [bytes(source_ids) for source_ids in sources], 3

    def fetch(self, encoder_outputs: Sequence[object]) -> Callable[[], list[bytes]]:
        return lambda: [output for output in encoder_outputs if isinstance(output, bytes)]

    def from_bytes(self, encoder_output: bytes, *, num_tokens: int) -> object:
        if len(encoder_output) != num_tokens:
            raise ValueError("another number of bytes")
        return encoder_output

    def add(self, decodes: Sequence[tuple[int, DecodeSpec, object]]) -> None:
        if self.fails_in == "add":
            raise self.error
        for decode_id, spec, output in decodes:
            self.rows[decode_id] = spec
            self.outputs.append(output)
        assert self.num_free_rows >= 0

    def remove(self, decode_ids: Sequence[int]) -> None:
        for decode_id in decode_ids:
            self.rows.pop(decode_id, None)

    def step(self, *, max_tokens: int = 1) -> list[Progress]:
        if self.fails_in == "step":
            raise self.error
        if self.is_behind:
            self.is_behind = False
            return []
        self.max_tokens.append(max_tokens)
        self.clock.now += self.step_seconds * max_tokens
        tokens = [TOKEN] * max_tokens
        progress = [
            Progress(decode_id, [], problem="not finite")
            if decode_id in self.broken
            else Progress(decode_id, tokens, (BEST,) if self.ends else ())
            for decode_id in self.rows
        ]
        self.remove([*self.broken])
        if self.ends:
            self.rows.clear()
        return progress


@pytest.fixture
def batch() -> ScriptedBatch:
    return ScriptedBatch()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def entries() -> list[list[int]]:
    return []


@pytest.fixture
def worker(batch: ScriptedBatch, clock: ManualClock, entries: list[list[int]]) -> Worker:
    return Worker({"model": make_loop(batch, clock, entries)})


def make_loop(batch: ScriptedBatch, clock: ManualClock, entries: list[list[int]]) -> CheckpointLoop:
    scheduler = Scheduler(max_admitted_tokens=100, max_bulk_wait_seconds=5, num_express_rows=0)
    return CheckpointLoop(Lanes(batch, None), scheduler, log_entries=entries.append, clock=clock)


def work(
    decode_id: int,
    source_ids: tuple[int, ...] = (),
    *,
    checkpoint: str = "model",
    priority: Priority = "interactive",
    is_streamed: bool = True,
    returns_encoder_output: bool = False,
) -> Work:
    spec = DecodeSpec(checkpoint, source_ids or (7, decode_id, EOS), (EOS,), 100)
    return Work(decode_id, "", decode_id, 10, spec, priority, is_streamed, returns_encoder_output)


def failed_ids(report: StepReport) -> list[int]:
    return [event.decode_id for event in report.failed]


def test_a_decode_starts_and_gets_a_token_in_the_same_turn(
    worker: Worker, clock: ManualClock, entries: list[list[int]]
):
    worker.receive(Submit([work(1)]))
    clock.now = 2.5
    report = worker.turn()
    assert entries == [[1]]
    assert report.started == [Started(1, 2.5, encoded=True, started_at=2.5)]
    assert report.progress == [Progress(1, [TOKEN])]
    assert (report.steps[0].num_rows, report.steps[0].num_source_tokens, report.steps[0].num_padding_tokens) == (
        1,
        3,
        3,
    )


def test_a_decode_joins_the_running_batch_at_any_turn(worker: Worker):
    worker.receive(Submit([work(1)]))
    worker.turn()
    worker.receive(Submit([work(2)]))
    assert [progress.decode_id for progress in worker.turn().progress] == [1, 2]


def test_equal_sources_are_encoded_once_also_for_one_that_waits(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(each, (7, EOS)) for each in (1, 2, 3)]))
    report = worker.turn()
    assert [event.encoded for event in report.started] == [True, False]
    assert report.steps[0].num_source_tokens == 2
    worker.receive(Cancel([1, 2]))
    assert [(event.decode_id, event.encoded) for event in worker.turn().started] == [(3, False)]
    assert batch.encoded == [(7, EOS)]


def test_a_source_is_forgotten_with_the_last_of_its_decodes(worker: Worker, batch: ScriptedBatch):
    batch.ends = True
    for decode_id in (1, 2):
        worker.receive(Submit([work(decode_id, (7, EOS))]))
        worker.turn()
    assert batch.encoded == [(7, EOS)] * 2


def test_an_encoder_output_is_reported_once_and_only_if_asked_for(worker: Worker):
    sharing = [work(each, (7, 8, EOS), returns_encoder_output=each == 1) for each in (1, 2)]
    worker.receive(Submit(sharing))
    assert [(each.decode_id, each.encoder_output) for each in worker.turn().encoded] == [(1, bytes((7, 8, EOS)))]
    worker.receive(Cancel([1, 2]))
    worker.receive(Submit([work(3)]))
    assert worker.turn().encoded == []


def test_a_source_whose_output_came_along_is_not_encoded(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(each, (7, 8, EOS)) for each in (1, 2)], {1: b"abc"}))
    report = worker.turn()
    assert [event.encoded for event in report.started] == [False, False]
    assert (batch.encoded, batch.outputs) == ([], [b"abc", b"abc"])


def test_an_output_that_cannot_be_used_is_encoded_anew(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(1, (7, 8, EOS))], {1: b"too long"}))
    assert worker.turn().started[0].encoded
    assert batch.encoded == [(7, 8, EOS)]


def test_cancel_frees_rows_at_once(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(1), work(2), work(3)]))
    worker.turn()
    worker.receive(Cancel([1, 3, 99]))
    report = worker.turn()
    assert (report.num_running, report.num_free_rows) == (1, 1)
    assert [progress.decode_id for progress in report.progress] == [2]


def test_tokens_of_what_is_not_streamed_come_with_its_end(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(1, is_streamed=False), work(2)]))
    assert [progress.decode_id for progress in worker.turn().progress] == [2]
    batch.ends = True
    assert [len(progress.tokens) for progress in worker.turn().progress] == [2, 1]


def test_a_decode_that_becomes_streamed_reports_its_tokens_from_then_on(worker: Worker):
    worker.receive(Submit([work(1, is_streamed=False)]))
    assert worker.turn().progress == []
    worker.receive(Update(1, "interactive", is_streamed=True))
    assert worker.turn().progress == [Progress(1, [TOKEN, TOKEN])]
    worker.receive(Update(99, "interactive", is_streamed=True))


def test_a_decode_that_becomes_urgent_passes_bulk(worker: Worker):
    worker.receive(Submit([work(each, priority="bulk") for each in (1, 2, 3)]))
    worker.receive(Update(3, "interactive", is_streamed=False))
    assert [event.decode_id for event in worker.turn().started] == [3, 1]


def test_a_turn_runs_ahead_for_two_milliseconds(worker: Worker, batch: ScriptedBatch, clock: ManualClock):
    batch.clock, batch.step_seconds = clock, 0.0003
    worker.receive(Submit([work(1), work(2)]))
    stats = [worker.turn().steps[0] for _ in range(3)]
    assert batch.max_tokens == [1, 6, 6]
    assert [each.num_steps for each in stats] == [1, 6, 6]
    assert stats[1].decode_seconds == pytest.approx(0.0018)


def test_a_turn_does_not_run_ahead_while_a_decode_waits_for_a_row(
    worker: Worker, batch: ScriptedBatch, clock: ManualClock
):
    batch.clock, batch.step_seconds = clock, 0.0003
    worker.receive(Submit([work(1), work(2), work(3)]))
    for _ in range(3):
        worker.turn()
    assert batch.max_tokens == [1, 1, 1]
    worker.receive(Cancel([3]))
    worker.turn()
    assert batch.max_tokens[-1] == 6


def test_a_slow_batch_takes_one_step_a_turn(worker: Worker, batch: ScriptedBatch, clock: ManualClock):
    batch.clock, batch.step_seconds = clock, 0.0015
    worker.receive(Submit([work(1)]))
    for _ in range(3):
        worker.turn()
    assert batch.max_tokens == [1, 1, 1]


def test_a_failed_step_fails_its_decodes_and_the_worker_goes_on(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(1), work(2), work(3)]))
    batch.fails_in = "step"
    report = worker.turn()
    assert report.failed == [Failed(each, "the step failed: RuntimeError") for each in (1, 2)]
    batch.fails_in, batch.ends = None, True
    assert worker.turn().progress == [Progress(3, [TOKEN], (BEST,))]
    assert worker.is_idle


def test_a_decode_that_ends_with_a_problem_fails_alone(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(1), work(2)]))
    worker.turn()
    batch.broken = {1}
    report = worker.turn()
    assert report.failed == [Failed(1, "not finite")]
    assert [progress.decode_id for progress in report.progress] == [2]
    batch.ends = True
    worker.turn()
    assert worker.is_idle


def test_steps_that_fail_again_and_again_end_the_worker(worker: Worker, batch: ScriptedBatch):
    batch.fails_in = "step"
    for decode_id in range(1, MAX_FAILED_STEPS):
        worker.receive(Submit([work(decode_id)]))
        assert failed_ids(worker.turn()) == [decode_id]
    worker.receive(Submit([work(MAX_FAILED_STEPS)]))
    with pytest.raises(StepsFailError, match="3 steps in a row"):
        worker.turn()


@pytest.mark.parametrize("where", ["add", "step"])
def test_an_unusable_device_ends_the_worker_at_once(worker: Worker, batch: ScriptedBatch, where: str):
    batch.fails_in, batch.error = where, UnusableDeviceError("an illegal access")
    worker.receive(Submit([work(1)]))
    with pytest.raises(UnusableDeviceError):
        worker.turn()


def test_a_turn_without_progress_counts_no_step(worker: Worker, batch: ScriptedBatch):
    batch.is_behind = True
    worker.receive(Submit([work(1)]))
    assert [stats.num_steps for _ in range(2) for stats in worker.turn().steps] == [0, 1]


def test_a_failed_admission_fails_the_new_decodes_only(worker: Worker, batch: ScriptedBatch):
    worker.receive(Submit([work(1)]))
    worker.turn()
    worker.receive(Submit([work(2)]))
    batch.fails_in = "add"
    report = worker.turn()
    assert failed_ids(report) == [2]
    assert report.progress == [Progress(1, [TOKEN])]


def test_the_report_after_the_last_decode_shows_all_rows_free(worker: Worker):
    worker.receive(Submit([work(1)]))
    worker.turn()
    worker.receive(Cancel([1]))
    assert worker.is_idle
    assert worker.turn().num_free_rows == MAX_ROWS


def test_checkpoints_take_turns_each_with_a_batch_of_its_own(batch: ScriptedBatch, clock: ManualClock):
    other = ScriptedBatch()
    worker = Worker({"model": make_loop(batch, clock, []), "other": make_loop(other, clock, [])})
    worker.receive(Submit([work(1), work(2, checkpoint="other")]))
    report = worker.turn()
    assert [progress.decode_id for progress in report.progress] == [1, 2]
    assert (report.num_running, report.num_free_rows) == (2, 2)
    assert (list(batch.rows), list(other.rows)) == ([1], [2])


def test_idle_with_something_left_behind_is_an_error(worker: Worker, batch: ScriptedBatch):
    batch.rows[5] = work(5).spec
    with pytest.raises(RuntimeError, match="idle with 1 rows in use"):
        assert worker.is_idle


def test_work_encoded_by_the_service_is_read_as_work():
    one = work(1, (7, 8, EOS))
    raw = msgspec.Raw(msgspec.msgpack.encode(one.spec))
    encoded = EncodedWork(
        decode_id=1,
        client="",
        request_id=1,
        cost=10,
        spec=raw,
        priority="interactive",
        is_streamed=True,
        returns_encoder_output=False,
    )
    payload = msgspec.msgpack.encode(EncodedSubmit([encoded], {1: b"abc"}))
    assert msgspec.msgpack.decode(payload, type=ToWorker) == Submit([one], {1: b"abc"})
