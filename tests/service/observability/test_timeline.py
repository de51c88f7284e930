"""Law: the stages of a request follow each other, as far as it came."""

import pytest

from service.observability.timeline import Timeline


def stages(timeline: Timeline) -> dict[str, tuple[float, float]]:
    return {stage.name: (stage.began, stage.ended) for stage in timeline.stages(100.0)}


def test_the_queue_ends_with_the_first_slot_and_encoding_is_the_first_batch():
    timeline = Timeline(admitted_at=1.0, submitted_at=2.0)
    for slot_at, encode_seconds in ((9.0, 4.0), (6.0, 2.0), (5.0, 0.0), (7.0, 1.0)):  # as workers happen to report
        timeline.start_sentence(slot_at, encode_seconds=encode_seconds)
    timeline.decoded_at = 50.0
    assert stages(timeline) == {
        "admit": (1.0, 2.0),
        "queue": (2.0, 5.0),
        "encode": (6.0, 8.0),
        "decode": (5.0, 50.0),
        "answer": (50.0, 100.0),
    }
    assert timeline.last_slot_at == 9.0


def test_what_is_encoded_first_is_decoded_afterwards():
    timeline = Timeline(1.0, 2.0)
    timeline.start_sentence(5.0, encode_seconds=2.0)
    assert (stages(timeline)["encode"], stages(timeline)["decode"]) == ((5.0, 7.0), (7.0, 100.0))


@pytest.mark.parametrize(
    ("timeline", "reached"),
    [
        (Timeline(admitted_at=1.0), {}),
        (Timeline(1.0, 2.0), {"admit": (1.0, 2.0), "queue": (2.0, 100.0)}),
        (Timeline(1.0, 2.0, 5.0), {"admit": (1.0, 2.0), "queue": (2.0, 5.0), "decode": (5.0, 100.0)}),
        (Timeline(1.0, 2.0, decoded_at=3.0), {"admit": (1.0, 2.0), "answer": (3.0, 100.0)}),
    ],
    ids=["refused", "waiting", "decoding", "nothing to decode"],
)
def test_what_was_going_on_at_the_end_ends_with_it(timeline: Timeline, reached: dict[str, tuple[float, float]]):
    assert stages(timeline) == reached


def test_a_stream_is_answered_while_it_is_decoded():
    timeline = Timeline(1.0, 2.0, streaming_at=3.0)
    timeline.start_sentence(4.0, encode_seconds=0.0)
    timeline.decoded_at = 6.0
    assert (stages(timeline)["answer"], stages(timeline)["decode"]) == ((3.0, 100.0), (4.0, 6.0))
