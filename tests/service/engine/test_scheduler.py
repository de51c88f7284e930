"""Laws of admission and of leaving, with a manual clock."""

import random

import pytest

from service.engine.scheduler import Row, Scheduler, is_looping
from service.engine.types import Priority, Sequence, SequenceFailed

EOS = 2


def make_scheduler(*, max_rows: int = 4, max_encode_tokens: int = 100, forces_eos: bool = False) -> Scheduler:
    return Scheduler(
        max_rows=max_rows,
        max_encode_tokens=max_encode_tokens,
        max_bulk_wait_seconds=5.0,
        eos_token_id=EOS,
        forces_eos=forces_eos,
    )


def make_sequence(
    sequence_id: int,
    *,
    source: tuple[int, ...] | None = None,
    max_new_tokens: int = 10,
    priority: Priority = "interactive",
) -> Sequence:
    return Sequence(sequence_id, 0, source or (sequence_id, EOS), (EOS, 5), max_new_tokens, priority)


def ids(rows: list[Row]) -> list[int]:
    return [row.sequence.sequence_id for row in rows]


def test_admission_keeps_arrival_order_and_stops_at_full_slots():
    scheduler = make_scheduler(max_rows=2)
    for sequence_id in (1, 2, 3):
        scheduler.submit(make_sequence(sequence_id), now=0)
    assert ids(scheduler.admit(now=0)) == [1, 2]
    assert scheduler.num_waiting == 1


def test_admission_puts_interactive_before_bulk():
    scheduler = make_scheduler(max_rows=2)
    scheduler.submit(make_sequence(1, priority="bulk"), now=0)
    scheduler.submit(make_sequence(2), now=1)
    scheduler.submit(make_sequence(3), now=1)
    assert ids(scheduler.admit(now=1)) == [2, 3]


def test_admission_never_starves_bulk():
    scheduler = make_scheduler(max_rows=1)
    scheduler.submit(make_sequence(1, priority="bulk"), now=0)
    scheduler.submit(make_sequence(2), now=4)
    assert ids(scheduler.admit(now=5)) == [1]


def test_an_aged_backlog_of_bulk_does_not_starve_interactive():
    scheduler = make_scheduler(max_rows=4)
    for sequence_id in range(50):
        scheduler.submit(make_sequence(sequence_id, priority="bulk"), now=0)
    for sequence_id in (100, 101, 102, 103):
        scheduler.submit(make_sequence(sequence_id), now=60)
    assert ids(scheduler.admit(now=60)) == [0, 100, 101, 102]


def test_admission_puts_rows_of_like_length_side_by_side():
    scheduler = make_scheduler()
    for sequence_id, length in enumerate([9, 2, 8, 3]):
        scheduler.submit(make_sequence(sequence_id, source=(sequence_id,) * length), now=0)
    assert ids(scheduler.admit(now=0)) == [1, 3, 2, 0]


def test_admission_bounds_the_tokens_encoded_in_a_step():
    scheduler = make_scheduler(max_encode_tokens=10)
    for sequence_id in (1, 2, 3):
        scheduler.submit(make_sequence(sequence_id, source=(sequence_id,) * 5), now=0)
    assert ids(scheduler.admit(now=0)) == [1, 2]
    assert ids(scheduler.admit(now=0)) == [3]


def test_admission_lets_one_source_over_the_budget_pass():
    scheduler = make_scheduler(max_encode_tokens=10)
    scheduler.submit(make_sequence(1, source=(1,) * 50), now=0)
    scheduler.submit(make_sequence(2), now=0)
    assert ids(scheduler.admit(now=0)) == [1]


def test_equal_sources_share_one_source_and_its_budget():
    scheduler = make_scheduler(max_encode_tokens=10)
    for sequence_id in (1, 2, 3):
        scheduler.submit(make_sequence(sequence_id, source=(7,) * 8), now=0)
    rows = scheduler.admit(now=0)
    assert ids(rows) == [1, 2, 3]
    assert len({row.source for row in rows}) == 1


def test_a_waiting_row_keeps_the_encoded_source_of_one_that_has_ended():
    scheduler = make_scheduler(max_rows=1)
    scheduler.submit(make_sequence(1, source=(7, 7)), now=0)
    scheduler.submit(make_sequence(2, source=(7, 7)), now=0)
    scheduler.admit(now=0)[0].source.encoded = "encoded"
    scheduler.advance([(EOS, -0.1)])
    assert scheduler.admit(now=0)[0].source.encoded == "encoded"


@pytest.mark.parametrize(
    ("token_ids", "max_new_tokens", "forces_eos", "reason"),
    [
        ([9, EOS], 10, False, "stop"),
        ([9, 8, 7], 3, False, "length"),
        ([9, 8, EOS], 3, False, "stop"),
        ([9, 8, EOS], 3, True, "length"),
        ([9] * 16, 20, False, "repetition"),
    ],
)
def test_a_row_leaves_with_its_reason(token_ids: list[int], max_new_tokens: int, forces_eos: bool, reason: str):
    scheduler = make_scheduler(forces_eos=forces_eos)
    scheduler.submit(make_sequence(1, max_new_tokens=max_new_tokens), now=0)
    scheduler.admit(now=0)
    reasons = [scheduler.advance([(token_id, -0.5)])[0][0].finish_reason for token_id in token_ids]
    assert reasons == [None] * (len(token_ids) - 1) + [reason]
    assert scheduler.is_idle


def test_a_loop_goes_on_without_the_guard():
    scheduler = make_scheduler()
    sequence = Sequence(1, 0, (1, EOS), (EOS, 5), 100, "interactive", repetition_guard=False)
    scheduler.submit(sequence, now=0)
    scheduler.admit(now=0)
    assert all(scheduler.advance([(9, -0.5)])[0][0].finish_reason is None for _ in range(50))


@pytest.mark.parametrize("n", range(1, 9))
def test_a_loop_is_four_rounds_and_sixteen_tokens(n: int):
    loop = [3, 4, 5, 6, 7, 8, 9, 10][:n] * 16
    span = max(4 * n, 16)
    assert is_looping([99, *loop[:span]])
    assert not is_looping([99, *loop[: span - 1]])


def test_cancel_frees_waiting_and_running_rows_at_once():
    scheduler = make_scheduler(max_rows=2)
    for sequence_id in (1, 2, 3):
        scheduler.submit(make_sequence(sequence_id), now=0)
    scheduler.admit(now=0)
    scheduler.cancel([1, 3, 99])
    assert ids(scheduler.running) == [2]
    assert scheduler.num_waiting == 0
    assert scheduler.num_free_slots == 1


def test_fail_ends_each_row_once():
    scheduler = make_scheduler()
    for sequence_id in (1, 2):
        scheduler.submit(make_sequence(sequence_id), now=0)
    scheduler.admit(now=0)
    events, _ = scheduler.fail(scheduler.running, detail="broken")
    assert events == [SequenceFailed(1, "broken"), SequenceFailed(2, "broken")]
    assert scheduler.is_idle


def test_idle_means_all_slots_free_after_any_mix():
    """Law 4, with law 3: each sequence that is not cancelled ends exactly once."""
    chance = random.Random(3)
    scheduler = make_scheduler(max_rows=5)
    ended: list[int] = []
    cancelled: set[int] = set()
    for sequence_id in range(300):
        scheduler.submit(make_sequence(sequence_id, priority=chance.choice(["bulk", "interactive"])), now=sequence_id)
        scheduler.admit(now=sequence_id)
        if chance.random() < 0.2:
            cancelled.add(chance.randrange(sequence_id + 1))
            scheduler.cancel(cancelled)
        ended += step(scheduler, chance)
    while not scheduler.is_idle:
        scheduler.admit(now=1000)
        ended += step(scheduler, chance)
    scheduler.check_idle()
    assert scheduler.num_free_slots == 5
    assert len(ended) == len(set(ended))
    assert set(range(300)) - set(ended) <= cancelled


def step(scheduler: Scheduler, chance: random.Random) -> list[int]:
    """The ids of the sequences that end in a step with random tokens."""
    events, _ = scheduler.advance([(chance.choice([EOS, 8, 9]), -1.0) for _ in scheduler.running])
    return [event.sequence_id for event in events if event.finish_reason]
