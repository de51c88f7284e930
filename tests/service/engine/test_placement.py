"""Laws of placement: explicit settings are kept, and open ones fill the machine."""

import pytest

from service.engine.placement import Placement, place_workers


@pytest.mark.parametrize(
    ("device", "num_workers", "num_threads", "num_gpus", "expected"),
    [
        ("auto", None, None, 0, [Placement("cpu", 1)] * 4),
        ("auto", 2, None, 0, [Placement("cpu", 2)] * 2),
        ("auto", None, 4, 0, [Placement("cpu", 4)]),
        ("cpu", 3, 2, 8, [Placement("cpu", 2)] * 3),
        ("auto", None, None, 2, [Placement("cuda:0", 1), Placement("cuda:1", 1)]),
        ("cuda", 3, None, 2, [Placement("cuda:0", 1), Placement("cuda:1", 1), Placement("cuda:0", 1)]),
        ("cuda:1", None, None, 2, [Placement("cuda:1", 1)]),
        ("cuda", None, None, 0, [Placement("cuda:0", 1)]),
    ],
)
def test_placement_keeps_what_is_given_and_fills_the_rest(
    device: str, num_workers: int | None, num_threads: int | None, num_gpus: int, expected: list[Placement]
):
    placed = place_workers(
        device=device, num_workers=num_workers, num_threads=num_threads, num_cores=4, num_gpus=num_gpus
    )
    assert placed == expected
