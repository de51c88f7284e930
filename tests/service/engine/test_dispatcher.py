"""Laws of placement, with workers that only take notes."""

from typing import Any

import pytest

from service.engine.decode import Decode
from service.engine.dispatcher import MAX_MESSAGE_BYTES, Dispatcher
from service.engine.in_flight import InFlight
from service.engine.throughput import Throughput
from tests.service.engine.handles import NotingWorker, open_decode

LONG = tuple(range(10, 50))


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight()


@pytest.fixture
def workers() -> list[NotingWorker]:
    return [NotingWorker(str(index)) for index in range(4)]


@pytest.fixture
def dispatcher(workers: list[NotingWorker], in_flight: InFlight) -> Dispatcher:
    return dispatcher_to(workers, in_flight)


def dispatcher_to(workers: list[Any], in_flight: InFlight, throughput: Throughput | None = None) -> Dispatcher:
    """A dispatcher with workers that only record messages."""
    return Dispatcher(workers, in_flight, throughput or Throughput())


def end(in_flight: InFlight, dispatcher: Dispatcher, decode: Decode) -> None:
    in_flight.close(decode)
    dispatcher.release(decode)


def die(worker: Any, dispatcher: Dispatcher, *, aboard: list[Decode]) -> None:
    """The worker dies with these aboard, and is back, empty, before its work is placed again."""
    for decode in aboard:
        decode.is_aboard = True
    lost = dispatcher.take_back(worker)
    for decode in lost:
        decode.replay()
    dispatcher.place(lost)


def test_work_goes_where_there_is_least_to_do_by_rows_times_tokens(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    beam = open_decode(in_flight, LONG, beam_size=8)
    short = [open_decode(in_flight, (each, 7, 2)) for each in range(100, 130)]
    dispatcher.place([beam, *short])
    assert workers[0].decode_ids == [beam.decode_id]
    assert [len(worker.decode_ids) for worker in workers[1:]] == [10, 10, 10]


def test_a_worker_with_half_the_speed_gets_half_the_work(in_flight: InFlight, workers: list[NotingWorker]):
    throughput = Throughput()
    for second in range(3):
        for worker, speed in zip(workers, [500, 1_000, 1_000, 1_000], strict=True):
            throughput.report(worker.name, now=float(second), turn_seconds=0.01, num_tokens=speed, leaves_waiting=True)
    dispatcher = dispatcher_to(workers, in_flight, throughput)
    for each in range(100, 170):
        dispatcher.place([open_decode(in_flight, (each, 7, 2))])
    assert [len(worker.decode_ids) for worker in workers] == [10, 20, 20, 20]


def test_decodes_of_one_source_stay_together_where_moving_does_not_pay(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    for worker in workers[1:]:
        worker.cost = 5
    two = [open_decode(in_flight, (5, 6, 7, 2), prompt=(each,)) for each in (10, 11)]
    dispatcher.place(two)
    assert workers[0].decode_ids == [each.decode_id for each in two]
    assert [work.returns_encoder_output for work in workers[0].work] == [True, False]


def test_one_source_into_many_targets_is_encoded_once_and_spread_over_all_workers(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    decodes = [open_decode(in_flight, LONG, prompt=(each,)) for each in range(200)]
    dispatcher.place(decodes)
    sent = [len(worker.decode_ids) for worker in workers]
    assert sent[1:] == [0, 0, 0], "the others wait for the encoder output"
    dispatcher.take_output(decodes[0], b"output")
    assert sum(len(worker.decode_ids) for worker in workers) == 200
    assert max(worker.cost for worker in workers) <= min(worker.cost for worker in workers) + 2 * decodes[0].cost
    assert all(b"output" in worker.outputs.values() for worker in workers[1:])


def test_what_waits_for_an_output_goes_on_without_it_when_the_encoding_decode_ends(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    decodes = [open_decode(in_flight, LONG, prompt=(each,)) for each in range(40)]
    dispatcher.place(decodes)
    in_flight.close(decodes[0])
    dispatcher.cancel([decodes[0]])
    held = [decode for decode in decodes[1:] if decode.worker is None]
    while held:
        encoder = next(decode for decode in decodes if decode.source.encoder == decode.decode_id)
        dispatcher.take_output(encoder, b"output")
        held = [decode for decode in decodes[1:] if decode.worker is None]
    assert sorted(each for worker in workers for each in worker.decode_ids) == [each.decode_id for each in decodes]


def test_a_worker_that_takes_no_work_gets_none(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    for worker in workers:
        worker.takes_work = False
    decode = open_decode(in_flight, (5, 2))
    dispatcher.place([decode])
    assert decode.worker is None
    workers[2].takes_work = True
    dispatcher.dispatch()
    assert workers[2].decode_ids == [decode.decode_id]


def test_large_encoder_outputs_are_sent_in_several_messages(in_flight: InFlight):
    worker = NotingWorker("0")
    dispatcher = dispatcher_to([worker], in_flight)
    decodes = [open_decode(in_flight, (each, 2)) for each in range(5)]
    for decode in decodes:
        decode.encoder_output = bytes(MAX_MESSAGE_BYTES // 2)
    dispatcher.place(decodes)
    assert len(worker.messages) == 3
    assert worker.decode_ids == [each.decode_id for each in decodes]


def test_cancel_tells_the_worker_and_takes_back_what_it_counted(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    decode = open_decode(in_flight, LONG)
    dispatcher.place([decode])
    in_flight.withhold(decode)
    in_flight.close(decode)
    dispatcher.cancel([decode])
    assert workers[0].cancelled == [decode.decode_id]
    assert (workers[0].num_decodes, workers[0].cost) == (0, 0)
    assert in_flight.is_idle


def test_work_of_a_dead_worker_that_was_not_aboard_goes_to_the_others(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    decodes = [open_decode(in_flight, (each, 2)) for each in range(8)]
    dispatcher.place(decodes)
    workers[0].takes_work = False
    die(workers[0], dispatcher, aboard=[])
    assert all(decode.worker in workers[1:] for decode in decodes)


def test_suspects_are_replayed_one_by_one_alone_on_a_worker(in_flight: InFlight):
    worker = NotingWorker("0")
    dispatcher = dispatcher_to([worker], in_flight)
    suspects = [open_decode(in_flight, (each, 2)) for each in range(3)]
    dispatcher.place(suspects)
    worker.messages.clear()
    die(worker, dispatcher, aboard=suspects)
    ordinary = open_decode(in_flight, (9, 2))
    dispatcher.place([ordinary])
    for suspect in suspects:
        assert worker.decode_ids[-1] == suspect.decode_id
        assert worker.num_decodes == 1
        end(in_flight, dispatcher, suspect)
    assert worker.decode_ids[-1] == ordinary.decode_id


def test_a_suspect_waits_until_its_host_has_nothing_else_while_others_work_on(
    in_flight: InFlight, dispatcher: Dispatcher, workers: list[NotingWorker]
):
    running = [open_decode(in_flight, (each, 2)) for each in range(8)]
    dispatcher.place(running)
    workers[0].takes_work = False
    suspects = [decode for decode in running if decode.worker is workers[0]]
    die(workers[0], dispatcher, aboard=suspects)
    assert all(suspect.worker is None for suspect in suspects)
    more = [open_decode(in_flight, (each, 2)) for each in range(20, 26)]
    dispatcher.place(more)
    hosts = [worker for worker in workers[1:] if all(decode.worker is not worker for decode in more)]
    assert len(hosts) == 1
    for decode in [decode for decode in running if decode.worker is hosts[0]]:
        end(in_flight, dispatcher, decode)
    assert [suspect.worker for suspect in suspects[:2]] == [hosts[0], None]


def test_a_suspect_that_is_cancelled_is_forgotten(in_flight: InFlight):
    worker = NotingWorker("0")
    dispatcher = dispatcher_to([worker], in_flight)
    suspects = [open_decode(in_flight, (each, 2)) for each in range(2)]
    dispatcher.place(suspects)
    die(worker, dispatcher, aboard=suspects)
    for suspect in reversed(suspects):
        in_flight.close(suspect)
        dispatcher.cancel([suspect])
    ordinary = open_decode(in_flight, (9, 2))
    dispatcher.place([ordinary])
    assert worker.decode_ids[-1] == ordinary.decode_id
    assert worker.num_decodes == 1
