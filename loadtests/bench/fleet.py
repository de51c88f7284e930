"""The processes of all sides of one checkpoint, which are loaded before the first timing."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from loadtests.bench.backend_process import BackendProcess
from loadtests.bench.measurements import Timing
from loadtests.bench.sides import BackendSpec, Shape, Side
from loadtests.bench.work import Targets, Work, joined


class Fleet:
    def __init__(self, directory: Path, *, scratch: Path) -> None:
        """Copies of the checkpoint in the formats of peers are written to `scratch`."""
        self._directory = directory
        self._scratch = scratch
        self._stack = ExitStack()
        self._processes: dict[tuple[Side, Shape], list[BackendProcess]] = {}

    def start(self, shapes: Iterable[tuple[Side, Shape]]) -> None:
        """Load the processes that these need, all at the same time."""
        shapes = list(shapes)
        directories = {side: self._directory_for(side) for side in dict.fromkeys(side for side, _ in shapes)}
        started: list[BackendProcess] = []
        for side, shape in shapes:
            within = _within_process(side, shape)
            processes = self._processes.setdefault((side, within), [])
            while len(processes) * within.num_workers < shape.num_workers:
                process = BackendProcess(BackendSpec(side, directories[side], within))
                processes.append(self._stack.enter_context(process))
                started.append(process)
        for process in started:
            process.wait_loaded()

    def _directory_for(self, side: Side) -> Path:
        if side.library != "ctranslate2":
            return self._directory
        from loadtests.bench.conversion import convert  # only here: without this peer its library need not be installed

        output = self._scratch / f"ctranslate2-{side.compute_type}"
        return output if output.exists() else convert(self._directory, output, compute_type=side.compute_type)

    def run(self, side: Side, shape: Shape, works: Sequence[Work]) -> tuple[Timing, list[Targets]]:
        """Run the works one after another, each split among the processes."""
        within = _within_process(side, shape)
        processes = self._processes[side, within][: shape.num_workers // within.num_workers]
        for index, process in enumerate(processes):
            process.send([work.share(index, len(processes)) for work in works])
        answers = [process.receive() for process in processes]
        seconds = max(answer.ended for answer in answers) - min(answer.began for answer in answers)
        targets = [joined(shares) for shares in zip(*(answer.targets for answer in answers), strict=True)]
        return Timing.of(seconds, targets), targets

    def pids(self, side: Side) -> list[int]:
        return [process.pid for key, processes in self._processes.items() if key[0] == side for process in processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _within_process(side: Side, shape: Shape) -> Shape:
    """The shape inside a process: CTranslate2's workers share one process, each of ours has its own."""
    return shape if side.library == "ctranslate2" else Shape(1, shape.num_threads)
