"""Laws of admission, with a manual clock."""

import random

import pytest

from service.engine.scheduler import FIRST_BUDGET_TOKENS, Scheduler
from service.engine.turns import Waiting


def make_scheduler(*, max_admitted_tokens: int = 100) -> Scheduler:
    return Scheduler(max_admitted_tokens=max_admitted_tokens, max_bulk_wait_seconds=5.0, num_express_rows=2)


def waiting(
    decode_id: int,
    *,
    client: str = "",
    request_id: int | None = None,
    source_ids: tuple[int, ...] | None = None,
    num_rows: int = 1,
    num_prefill_tokens: int = 0,
    cost: int = 10,
    arrived_at: float = 0.0,
    is_bulk: bool = False,
) -> Waiting:
    return Waiting(
        decode_id,
        client=client,
        request_id=decode_id if request_id is None else request_id,
        source_ids=source_ids or (decode_id, 2),
        num_rows=num_rows,
        num_prefill_tokens=num_prefill_tokens,
        cost=cost,
        arrived_at=arrived_at,
        is_bulk=is_bulk,
    )


def fill(scheduler: Scheduler, num_decodes: int, *, client: str = "", request_id: int | None = None) -> None:
    """Give rows to decodes from 1000 on."""
    for decode_id in range(1_000, 1_000 + num_decodes):
        scheduler.submit(waiting(decode_id, client=client, request_id=request_id))
    assert len(admit(scheduler, num_free_rows=num_decodes)) == num_decodes


def express(scheduler: Scheduler, *, num_free_rows: int = 0) -> list[int]:
    """The decodes that get express rows, of which two are free."""
    admitted = scheduler.admit(now=0.0, num_free_rows=num_free_rows, num_free_express_rows=2, encoded=set())
    return [each.decode.decode_id for each in admitted if each.is_express]


def admit(scheduler: Scheduler, *, now: float = 0.0, num_free_rows: int = 4, encoded: set | None = None) -> list[int]:
    admitted = scheduler.admit(now=now, num_free_rows=num_free_rows, encoded=encoded or set())
    return [each.decode.decode_id for each in admitted]


def test_admission_keeps_arrival_order_and_stops_when_rows_are_used_up():
    scheduler = make_scheduler()
    for decode_id in (1, 2, 3):
        scheduler.submit(waiting(decode_id))
    assert admit(scheduler, num_free_rows=2) == [1, 2]
    assert scheduler.num_waiting == 1


def test_requests_take_turns_by_expected_work():
    scheduler = make_scheduler()
    for decode_id in range(100):
        scheduler.submit(waiting(decode_id, request_id=0))
    assert admit(scheduler, num_free_rows=2) == [0, 1]
    scheduler.submit(waiting(100, request_id=1))
    assert admit(scheduler, num_free_rows=2) == [100, 2]


def test_the_wait_of_a_request_grows_with_its_own_size():
    scheduler = make_scheduler()
    for decode_id in range(100):
        scheduler.submit(waiting(decode_id, request_id=0))
    for decode_id in range(100, 104):
        scheduler.submit(waiting(decode_id, request_id=1))
    order = [decode_id for _ in range(26) for decode_id in admit(scheduler)]
    assert [order.index(decode_id) for decode_id in range(100, 104)] == [1, 3, 5, 7]


def test_a_request_that_has_been_idle_saves_up_no_turns():
    scheduler = make_scheduler()
    scheduler.submit(waiting(1, request_id=1))
    for decode_id in range(10, 20):
        scheduler.submit(waiting(decode_id, request_id=2))
    for _ in range(6):
        admit(scheduler, num_free_rows=1)
    for decode_id in (30, 31, 32):
        scheduler.submit(waiting(decode_id, request_id=1))
    assert admit(scheduler) == [30, 15, 31, 16]


def test_interactive_goes_before_bulk():
    scheduler = make_scheduler()
    scheduler.submit(waiting(1, is_bulk=True))
    scheduler.submit(waiting(2, arrived_at=1))
    scheduler.submit(waiting(3, arrived_at=1))
    assert admit(scheduler, now=1, num_free_rows=2) == [2, 3]


def test_bulk_is_never_starved():
    scheduler = make_scheduler()
    scheduler.submit(waiting(1, is_bulk=True))
    scheduler.submit(waiting(2, arrived_at=4))
    assert admit(scheduler, now=5, num_free_rows=1) == [1]


def test_an_aged_backlog_of_bulk_does_not_starve_interactive():
    scheduler = make_scheduler()
    for decode_id in range(50):
        scheduler.submit(waiting(decode_id, is_bulk=True))
    for decode_id in (100, 101, 102, 103):
        scheduler.submit(waiting(decode_id, arrived_at=60))
    assert admit(scheduler, now=60) == [0, 100, 101, 102]


def test_a_decode_that_becomes_interactive_leaves_the_bulk_queue():
    scheduler = make_scheduler()
    for decode_id in (1, 2):
        scheduler.submit(waiting(decode_id, is_bulk=True))
    scheduler.submit(waiting(3))
    scheduler.make_interactive(2)
    scheduler.make_interactive(99)
    assert admit(scheduler) == [2, 3, 1]


def test_a_turn_bounds_the_tokens_it_encodes_and_prefills():
    scheduler = make_scheduler(max_admitted_tokens=10)
    for decode_id in (1, 2, 3):
        scheduler.submit(waiting(decode_id, source_ids=(decode_id,) * 5))
    scheduler.submit(waiting(4, num_prefill_tokens=4))
    assert admit(scheduler) == [1, 2]
    assert admit(scheduler) == [3]
    assert admit(scheduler) == [4]


def test_the_first_turn_of_a_backlog_is_small_and_each_next_one_twice_as_large():
    scheduler = make_scheduler(max_admitted_tokens=4 * FIRST_BUDGET_TOKENS)
    for decode_id in range(64):
        scheduler.submit(waiting(decode_id, source_ids=(decode_id,) * (FIRST_BUDGET_TOKENS // 4)))
    assert [len(admit(scheduler, num_free_rows=64)) for _ in range(5)] == [4, 8, 16, 16, 16]
    assert len(admit(scheduler, num_free_rows=64)) == 4
    scheduler.submit(waiting(64))
    scheduler.submit(waiting(65, source_ids=(65,) * FIRST_BUDGET_TOKENS))
    assert admit(scheduler) == [64]


def test_one_decode_over_the_budget_always_passes():
    scheduler = make_scheduler(max_admitted_tokens=10)
    scheduler.submit(waiting(1, source_ids=(1,) * 50))
    scheduler.submit(waiting(2))
    assert admit(scheduler) == [1]


def test_a_source_that_is_encoded_or_being_encoded_costs_no_budget():
    scheduler = make_scheduler(max_admitted_tokens=10)
    for decode_id in (1, 2):
        scheduler.submit(waiting(decode_id, source_ids=(7,) * 8))
    scheduler.submit(waiting(3, source_ids=(8,) * 8))
    assert admit(scheduler, encoded={(8,) * 8}) == [1, 2, 3]


def test_a_beam_waits_for_its_rows_and_is_not_passed():
    scheduler = make_scheduler()
    for decode_id, num_rows in enumerate([1, 4, 1]):
        scheduler.submit(waiting(decode_id, num_rows=num_rows))
    assert admit(scheduler, num_free_rows=4) == [0]
    assert admit(scheduler, num_free_rows=3) == []
    assert admit(scheduler, num_free_rows=4) == [1]


def test_cancel_forgets_what_waits_and_ignores_the_rest():
    scheduler = make_scheduler()
    for decode_id in (1, 2, 3):
        scheduler.submit(waiting(decode_id, is_bulk=decode_id == 3))
    scheduler.cancel([1, 3, 99])
    assert scheduler.num_waiting == 1
    assert admit(scheduler) == [2]


def test_every_decode_that_is_not_cancelled_is_admitted_once():
    chance = random.Random(3)
    scheduler = make_scheduler(max_admitted_tokens=8)
    admitted: list[int] = []
    cancelled: set[int] = set()
    for decode_id in range(500):
        scheduler.submit(
            waiting(
                decode_id,
                request_id=chance.randrange(20),
                num_rows=chance.choice([1, 3]),
                cost=chance.randrange(1, 50),
                arrived_at=decode_id,
                is_bulk=chance.random() < 0.3,
            )
        )
        if chance.random() < 0.3:
            gone = chance.randrange(decode_id + 1)
            cancelled.add(gone)
            scheduler.cancel([gone])
        admitted += admit(scheduler, now=decode_id, num_free_rows=chance.randrange(4))
    while scheduler.num_waiting:
        admitted += admit(scheduler, now=1000)
    assert len(admitted) == len(set(admitted))
    assert set(range(500)) - set(admitted) <= cancelled


def test_clients_take_turns_however_many_requests_each_has():
    scheduler = make_scheduler()
    for decode_id in range(100):
        scheduler.submit(waiting(decode_id, client="flood"))
    assert admit(scheduler, num_free_rows=2) == [0, 1]
    for decode_id in (100, 101):
        scheduler.submit(waiting(decode_id, client="other"))
    assert admit(scheduler) == [100, 2, 101, 3]


def test_the_requests_of_a_client_take_turns_too():
    scheduler = make_scheduler()
    for decode_id in range(100):
        scheduler.submit(waiting(decode_id, client="flood", request_id=1))
    scheduler.submit(waiting(100, client="flood", request_id=2))
    scheduler.submit(waiting(200, client="other"))
    assert admit(scheduler) == [0, 200, 100, 1]


def test_clients_get_equal_work_whatever_the_size_of_their_decodes():
    scheduler = make_scheduler()
    for decode_id in range(400):
        scheduler.submit(waiting(decode_id, client="long", cost=40))
        scheduler.submit(waiting(1_000 + decode_id, client="short", cost=5))
    order = [decode_id for _ in range(50) for decode_id in admit(scheduler)]
    num_long = sum(decode_id < 1_000 for decode_id in order)
    assert abs(40 * num_long - 5 * (len(order) - num_long)) <= 45


def test_the_parts_of_a_request_add_up_however_it_submits_them():
    scheduler = make_scheduler()
    for decode_id in range(20):
        scheduler.submit(waiting(decode_id, request_id=1))
    order: list[int] = []
    for decode_id in range(100, 110):  # the next part comes only when the last one has its row
        scheduler.submit(waiting(decode_id, request_id=2))
        order += admit(scheduler, num_free_rows=2)
    assert sum(decode_id < 100 for decode_id in order) == 10


@pytest.mark.parametrize("num_free_rows", [0, 4])
def test_a_client_without_rows_gets_express_rows_while_another_has_many(num_free_rows: int):
    scheduler = make_scheduler()
    fill(scheduler, 5, client="flood")
    scheduler.submit(waiting(1, client="other"))
    scheduler.submit(waiting(2, client="flood"))
    assert express(scheduler, num_free_rows=num_free_rows) == [1]


def test_a_turn_admits_decodes_of_one_lane():
    scheduler = make_scheduler()
    fill(scheduler, 5, client="flood")
    scheduler.submit(waiting(1, client="other"))
    scheduler.submit(waiting(2, client="flood"))
    turns = [scheduler.admit(now=0.0, num_free_rows=4, num_free_express_rows=2, encoded=set()) for _ in range(2)]
    assert [[each.decode.decode_id for each in turn] for turn in turns] == [[1], [2]]


def test_a_request_gets_express_rows_while_another_of_the_only_client_has_many():
    scheduler = make_scheduler()
    fill(scheduler, 5, request_id=7)
    scheduler.submit(waiting(1, request_id=8))
    scheduler.submit(waiting(2, request_id=7))
    assert express(scheduler) == [1]


def test_nobody_gets_express_rows_while_nobody_has_many():
    scheduler = make_scheduler()
    fill(scheduler, 5)
    scheduler.submit(waiting(1))
    assert express(scheduler) == []


def test_express_rows_are_for_clients_with_few_rows():
    scheduler = make_scheduler()
    fill(scheduler, 5, client="flood")
    for decode_id in (1, 2, 3):
        scheduler.submit(waiting(decode_id, client="other"))
    assert express(scheduler) == [1, 2]
    assert express(scheduler) == []
    scheduler.release(1)
    assert express(scheduler) == [3]


def test_rows_that_were_left_do_not_count():
    scheduler = make_scheduler()
    fill(scheduler, 5, client="flood")
    for decode_id in range(1_000, 1_005):
        scheduler.release(decode_id)
    scheduler.submit(waiting(1, client="other"))
    assert express(scheduler, num_free_rows=1) == []
