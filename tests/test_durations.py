"""The end of a run names the files that took longest."""

from dataclasses import dataclass

from tests.support.durations import NUM_SLOWEST, describe_slowest


@dataclass(frozen=True, slots=True)
class Phase:
    nodeid: str
    duration: float


def test_the_slowest_files_come_first_with_all_their_phases() -> None:
    phases = [Phase("a.py::test_x", 1.0), Phase("b.py::test_x", 1.5), Phase("a.py::test_y", 0.75)]
    assert describe_slowest(phases).splitlines() == ["slowest of 2 test files:", "     1.8 s  a.py", "     1.5 s  b.py"]


def test_only_the_slowest_files_are_listed() -> None:
    phases = [Phase(f"{index}.py::test_x", index) for index in range(2 * NUM_SLOWEST)]
    lines = describe_slowest(phases).splitlines()
    assert len(lines) == 1 + NUM_SLOWEST
    assert lines[1].endswith(f"{2 * NUM_SLOWEST - 1}.py")
