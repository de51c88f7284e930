"""The laws of a step, with a runner that says what the test wants: no model is needed to state them."""

from collections.abc import Sequence as SequenceOf

import pytest

from model.search.types import Hypothesis, Progress, SearchRequest, Token
from service.engine.scheduler import Entry, Scheduler
from service.engine.slots import Move
from service.engine.types import (
    Cancel,
    Sequence,
    SequenceFailed,
    SequenceProgress,
    SequenceStarted,
    SourceEncoded,
    StepReport,
    Submit,
)
from service.engine.worker import Engine, EngineLoop

EOS = 2
TOKEN = Token(9, -0.5)
BEST = Hypothesis((9,), (-0.5,), -0.5, "stop")


class ScriptedRunner:
    """Says token 9 for ever, or ends where it is told to; fails where it is told to."""

    def __init__(self) -> None:
        self.ends = False
        self.fails_in: str | None = None
        self.num_encoded = 0
        self.moves: list[Move] = []
        self.entries: list[Entry] = []

    def admit(self, entries: SequenceOf[Entry]) -> int:
        if self.fails_in == "admit":
            raise RuntimeError("out of memory")
        self.entries += entries
        for source in {entry.source for entry in entries if entry.source.encoded is None}:
            source.encoded = object()
            self.num_encoded += 1
        return 0

    def encoder_output(self, entry: Entry) -> bytes:
        return b"".join(token_id.to_bytes(2, "little") for token_id in entry.source.ids)

    def step(self, num_rows: int) -> list[Progress]:
        if self.fails_in == "step":
            raise RuntimeError("out of memory")
        running = [entry for entry in self.entries if entry.rows and entry.rows[0].slot is not None]
        assert sum(len(entry.rows) for entry in running) == num_rows
        hypotheses = (BEST,) if self.ends else ()
        return [Progress(entry.sequence.sequence_id, [TOKEN], hypotheses) for entry in running]

    def move(self, move: Move) -> None:
        self.moves.append(move)


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def loop(runner: ScriptedRunner, clock: ManualClock) -> Engine:
    return Engine([make_loop(runner, clock)])


def make_loop(runner: ScriptedRunner, clock: ManualClock, *, min_cached_tokens: int | None = None) -> EngineLoop:
    scheduler = Scheduler(max_rows=2, max_encode_tokens=100, max_bulk_wait_seconds=5)
    return EngineLoop(runner, scheduler, min_cached_tokens=min_cached_tokens, clock=clock)


def make_sequence(
    sequence_id: int, source_ids: tuple[int, ...], *, checkpoint: int = 0, is_cacheable: bool = True
) -> Sequence:
    return Sequence(SearchRequest(sequence_id, (EOS,), 100), checkpoint, source_ids, is_cacheable=is_cacheable)


def submit(loop: Engine, *sequence_ids: int, source: int = 7) -> None:
    loop.receive(Submit([make_sequence(each, (source, each, EOS)) for each in sequence_ids]))


def failed_ids(report: StepReport) -> list[int]:
    return [event.sequence_id for event in report.events if isinstance(event, SequenceFailed)]


def test_a_sequence_starts_and_gets_a_token_in_the_same_step(loop: Engine, clock: ManualClock):
    submit(loop, 1)
    clock.now = 2.5
    report = loop.step()
    assert report.events == [SequenceStarted(1, 2.5, encoded=True, started_at=2.5), SequenceProgress(1, [TOKEN])]
    assert report.steps[0].num_rows == 1
    assert report.steps[0].num_source_tokens == 3


def test_a_sequence_joins_the_running_batch_at_any_step(loop: Engine):
    submit(loop, 1)
    loop.step()
    submit(loop, 2)
    tokens = [event.sequence_id for event in loop.step().events if isinstance(event, SequenceProgress)]
    assert tokens == [1, 2]


def test_equal_sources_are_encoded_once(loop: Engine, runner: ScriptedRunner):
    loop.receive(Submit([make_sequence(each, (7, EOS)) for each in (1, 2, 3)]))
    report = loop.step()
    assert [event.encoded for event in report.events if isinstance(event, SequenceStarted)] == [True, False]
    assert report.steps[0].num_source_tokens == 2
    loop.receive(Cancel([1]))
    started = [event for event in loop.step().events if isinstance(event, SequenceStarted)]
    assert [(event.sequence_id, event.encoded) for event in started] == [(3, False)]
    assert runner.num_encoded == 1


def outputs(report: StepReport) -> list[int]:
    return [event.sequence_id for event in report.events if isinstance(event, SourceEncoded)]


def test_what_was_encoded_comes_back_once_from_a_length_on_and_if_it_may(runner: ScriptedRunner, clock: ManualClock):
    loop = Engine([make_loop(runner, clock, min_cached_tokens=3)])
    loop.receive(Submit([make_sequence(1, (7, 8, EOS)), make_sequence(2, (7, 8, EOS))]))
    assert outputs(loop.step()) == [1]
    loop.receive(Cancel([1, 2]))
    loop.receive(Submit([make_sequence(3, (7, EOS)), make_sequence(4, (6, 8, EOS), is_cacheable=False)]))
    assert outputs(loop.step()) == []


def test_what_the_cache_had_is_not_encoded_and_does_not_come_back(runner: ScriptedRunner, clock: ManualClock):
    loop = Engine([make_loop(runner, clock, min_cached_tokens=1)])
    loop.receive(Submit([make_sequence(each, (7, 8, EOS)) for each in (1, 2)], {1: b"kept"}))
    report = loop.step()
    assert [event.encoded for event in report.events if isinstance(event, SequenceStarted)] == [False, False]
    assert outputs(report) == []
    assert (runner.num_encoded, report.steps[0].num_source_tokens) == (0, 0)
    assert {entry.source.encoded for entry in runner.entries} == {b"kept"}


def test_a_cancelled_row_frees_its_slot_within_one_step(loop: Engine, runner: ScriptedRunner):
    submit(loop, 1, 2)
    loop.step()
    loop.receive(Cancel([1]))
    report = loop.step()
    assert report.num_free_slots == 1
    assert [event.sequence_id for event in report.events] == [2]
    assert runner.moves == [Move(source=1, target=0)]


def test_a_failed_step_fails_its_rows_and_the_loop_goes_on(loop: Engine, runner: ScriptedRunner):
    submit(loop, 1, 2, 3)
    runner.fails_in = "step"
    assert failed_ids(loop.step()) == [1, 2]
    runner.fails_in = None
    runner.ends = True
    assert SequenceProgress(3, [TOKEN], (BEST,)) in loop.step().events
    assert loop.is_idle


def test_a_failed_admission_fails_the_new_rows_only(loop: Engine, runner: ScriptedRunner):
    submit(loop, 1)
    loop.step()
    submit(loop, 2)
    runner.fails_in = "admit"
    report = loop.step()
    assert failed_ids(report) == [2]
    assert SequenceProgress(1, [TOKEN]) in report.events


def test_the_report_after_the_last_row_shows_all_slots_free(loop: Engine):
    submit(loop, 1)
    loop.step()
    loop.receive(Cancel([1]))
    assert loop.is_idle
    assert loop.step().num_free_slots == 2


def test_checkpoints_take_turns_each_with_a_batch_of_its_own(runner: ScriptedRunner, clock: ManualClock):
    other = ScriptedRunner()
    engine = Engine([make_loop(runner, clock), make_loop(other, clock)])
    engine.receive(Submit([make_sequence(1, (7, EOS)), make_sequence(2, (7, EOS), checkpoint=1)]))
    report = engine.step()
    assert [event.sequence_id for event in report.events if isinstance(event, SequenceProgress)] == [1, 2]
    assert (runner.num_encoded, other.num_encoded) == (1, 1)
    assert (report.num_running, report.num_free_slots) == (2, 2)
    engine.receive(Cancel([2]))
    assert [event.sequence_id for event in engine.step().events] == [1]
