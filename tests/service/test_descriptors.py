"""Laws of the limit on descriptors."""

import os
import resource
from collections.abc import Iterator

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


@pytest.fixture
def _no_free_descriptor() -> Iterator[None]:
    """Lowers this process's limit to the descriptors that are open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("_no_free_descriptor")
def test_running_out_of_descriptors_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch = descriptors.DescriptorWatch()
    for now in (0.0, 0.1, 59.9, 60.0, 60.1):
        watch.look(now)
    assert [f"may open {limit})" in message for message in caplog.messages] == [True, True]


def test_nothing_is_logged_while_descriptors_are_free(caplog: pytest.LogCaptureFixture) -> None:
    descriptors.DescriptorWatch().look(0.0)
    assert caplog.messages == []
