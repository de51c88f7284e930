"""Laws of admission and of leaving, with a manual clock."""

import random

from model.search.types import Hypothesis, Progress, SearchRequest, Token
from service.engine.scheduler import Entry, Scheduler
from service.engine.slots import Move
from service.engine.types import Priority, Sequence, SequenceFailed, is_terminal

EOS = 2


def make_scheduler(*, max_rows: int = 4, max_encode_tokens: int = 100) -> Scheduler:
    return Scheduler(max_rows=max_rows, max_encode_tokens=max_encode_tokens, max_bulk_wait_seconds=5.0)


def make_sequence(
    sequence_id: int,
    *,
    source: tuple[int, ...] | None = None,
    beam_size: int = 1,
    priority: Priority = "interactive",
    is_streamed: bool = True,
) -> Sequence:
    request = SearchRequest(sequence_id, (EOS, 5), 10, beam_size=beam_size)
    return Sequence(request, 0, source or (sequence_id, EOS), priority, is_streamed)


def going_on(sequence_id: int) -> Progress:
    return Progress(sequence_id, [Token(9, -0.5)])


def finished(sequence_id: int) -> Progress:
    return Progress(sequence_id, [Token(EOS, -0.5)], (Hypothesis((EOS,), (-0.5,), -0.5, "stop"),))


def ids(entries: list[Entry]) -> list[int]:
    return [entry.sequence.sequence_id for entry in entries]


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
    entries = scheduler.admit(now=0)
    assert ids(entries) == [1, 2, 3]
    assert len({entry.source for entry in entries}) == 1


def test_a_waiting_row_keeps_the_encoded_source_of_one_that_has_ended():
    scheduler = make_scheduler(max_rows=1)
    scheduler.submit(make_sequence(1, source=(7, 7)), now=0)
    scheduler.submit(make_sequence(2, source=(7, 7)), now=0)
    scheduler.admit(now=0)[0].source.encoded = "encoded"
    scheduler.advance([finished(1)])
    assert scheduler.admit(now=0)[0].source.encoded == "encoded"


def test_a_source_goes_with_the_last_of_its_sequences_at_once():
    scheduler = make_scheduler()
    for sequence_id in (1, 2, 3):
        scheduler.submit(make_sequence(sequence_id, source=(7, EOS)), now=0)
        (entry,) = scheduler.admit(now=0)
        assert entry.source.encoded is None
        entry.source.encoded = object()
        del entry  # whoever looks on keeps it too
        scheduler.advance([finished(sequence_id)])


def test_a_finished_sequence_leaves_at_once_and_the_others_go_on():
    scheduler = make_scheduler()
    for sequence_id in (1, 2):
        scheduler.submit(make_sequence(sequence_id), now=0)
    scheduler.admit(now=0)
    events, moves = scheduler.advance([finished(1), going_on(2)])
    assert [is_terminal(event) for event in events] == [True, False]
    assert ids(scheduler.running_entries) == [2]
    assert moves == [Move(source=1, target=0)]


def test_a_beam_takes_as_many_slots_and_waits_until_they_are_free():
    scheduler = make_scheduler(max_rows=4)
    for sequence_id, beam_size in enumerate([1, 4, 1]):
        scheduler.submit(make_sequence(sequence_id, beam_size=beam_size), now=0)
    assert ids(scheduler.admit(now=0)) == [0]
    scheduler.advance([finished(0)])
    (beam,) = scheduler.admit(now=0)
    assert [row.slot for row in beam.rows] == [0, 1, 2, 3]
    scheduler.advance([finished(1)])
    assert ids(scheduler.admit(now=0)) == [2]


def test_cancel_frees_waiting_and_running_rows_at_once():
    scheduler = make_scheduler(max_rows=2)
    for sequence_id in (1, 2, 3):
        scheduler.submit(make_sequence(sequence_id), now=0)
    scheduler.admit(now=0)
    scheduler.cancel([1, 3, 99])
    assert ids(scheduler.running_entries) == [2]
    assert scheduler.num_waiting == 0
    assert scheduler.num_free_slots == 1


def test_fail_ends_each_row_once():
    scheduler = make_scheduler()
    for sequence_id in (1, 2):
        scheduler.submit(make_sequence(sequence_id), now=0)
    scheduler.admit(now=0)
    events, _ = scheduler.fail(scheduler.running_entries, detail="broken")
    assert events == [SequenceFailed(1, "broken"), SequenceFailed(2, "broken")]
    assert scheduler.is_idle


def test_idle_means_all_slots_free_after_any_mix():
    """Law 4, with law 3: each sequence that is not cancelled ends exactly once."""
    chance = random.Random(3)
    scheduler = make_scheduler(max_rows=5)
    ended: list[int] = []
    cancelled: set[int] = set()
    for sequence_id in range(300):
        scheduler.submit(
            make_sequence(
                sequence_id, beam_size=chance.choice([1, 3]), priority=chance.choice(["bulk", "interactive"])
            ),
            now=sequence_id,
        )
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
    """The ids of the sequences that end in a step in which each ends by chance."""
    running = ids(scheduler.running_entries)
    events, _ = scheduler.advance([chance.choice([finished, going_on])(each) for each in running])
    return [event.sequence_id for event in events if is_terminal(event)]


def test_tokens_of_what_is_not_streamed_come_with_its_end():
    scheduler = make_scheduler()
    for sequence_id in (1, 2):
        scheduler.submit(make_sequence(sequence_id, is_streamed=sequence_id == 2), now=0)
    scheduler.admit(now=0)
    events, _ = scheduler.advance([going_on(1), going_on(2)])
    assert [(event.sequence_id, len(event.tokens)) for event in events] == [(2, 1)]
    events, _ = scheduler.advance([finished(1), finished(2)])
    assert [(event.sequence_id, [token.token_id for token in event.tokens]) for event in events] == [
        (1, [9, EOS]),
        (2, [EOS]),
    ]
