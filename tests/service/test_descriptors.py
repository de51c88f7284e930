"""Laws of the limit on descriptors."""

import resource

import pytest

from service import descriptors


@pytest.mark.parametrize(
    ("hard", "has_operation_port", "expected"),
    [
        (resource.RLIM_INFINITY, False, 2048),
        (100_000, True, 2048),
        (1024, False, 864),
        (1024, True, 800),
        (10, False, 1),
    ],
)
def test_connections_leave_descriptors_for_everything_else(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hard: int,
    has_operation_port: bool,
    expected: int,
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    assert descriptors.fit_connections(2048, has_operation_port=has_operation_port) == expected
    assert given == [(hard, hard)]
    assert bool(caplog.messages) == (expected < 2048)
