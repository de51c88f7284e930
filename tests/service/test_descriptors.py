"""Laws of the limit on descriptors."""

import resource

import pytest

from service import descriptors


@pytest.mark.parametrize(("hard", "expected"), [(resource.RLIM_INFINITY, 2048), (100_000, 2048), (1024, 864), (10, 1)])
def test_connections_leave_descriptors_for_everything_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hard: int, expected: int
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    assert descriptors.fit_connections(2048) == expected
    assert given == [(hard, hard)]
    assert bool(caplog.messages) == (expected < 2048)
