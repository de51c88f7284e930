"""Compare the sides on one checkpoint: their settings, their work and its order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from loadtests.bench.checkpoints import Subject
from loadtests.bench.fleet import Fleet
from loadtests.bench.measurements import Agreement, Cell, Measurement, Setting, Timing
from loadtests.bench.sides import Shape, Side
from loadtests.bench.work import Targets, Work

MIN_LATENCY_SENTENCES = 8
"""Smaller batches run several times in a row, so that a timing is not too short."""
COMPARED_BATCH_SIZE = 32
MAX_COMPARED_FIXED = 64
"""Sentences to compare if lengths are fixed; comparing then excludes none from the timing."""


class Bar(Protocol):
    def update(self, n: int) -> object: ...


@dataclass(frozen=True, slots=True)
class ContestPlan:
    beam_sizes: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    saturated_batch_sizes: tuple[int, ...]
    """Candidates; every side uses the one that suits it."""
    num_saturated: int
    """Sentences; half as many for beams."""
    num_compared: int
    """Sentences whose targets are compared. If lengths are not fixed, only these may be timed."""
    num_rounds: int
    num_target_tokens: int
    """The length of fixed targets."""


class Contest:
    def __init__(
        self, fleet: Fleet, subject: Subject, sides: Sequence[Side], plan: ContestPlan, *, num_cores: int
    ) -> None:
        self._fleet = fleet
        self._subject = subject
        self._sides = sides
        self._plan = plan
        self._num_cores = num_cores
        self._timed: dict[int, Work] = {}
        """Work to time, by beam size."""

    @property
    def cells(self) -> list[Cell]:
        return [
            Cell(self._subject.name, beam_size, batch_size)
            for beam_size in self._plan.beam_sizes
            for batch_size in (*self._plan.batch_sizes, None)
        ]

    @property
    def num_runs(self) -> int:
        """The total of the progress bar."""
        compared = len(self._plan.beam_sizes) * len(self._sides)
        return compared + sum(
            len(self._settings(side, cell)) + self._plan.num_rounds * (1 + self._scales(side, cell))
            for cell in self.cells
            for side in self._sides_of(cell)
        )

    def start(self) -> None:
        self._fleet.start(
            (side, setting.shape)
            for cell in self.cells
            for side in self._sides_of(cell)
            for setting in self._settings(side, cell)
        )

    def _sides_of(self, cell: Cell) -> list[Side]:
        """`transformers` takes part in single greedy batches only, its usual use; the rest would take too long."""
        alone = cell.batch_size is not None and cell.beam_size == 1
        return [side for side in self._sides if alone or side.library != "transformers"]

    def _settings(self, side: Side, cell: Cell) -> list[Setting]:
        """The settings that the trial runs."""
        one_worker, all_workers = Shape(1, self._num_cores), Shape(self._num_cores, 1)
        if cell.batch_size is not None:
            alone = all_workers if side.library == "ctranslate2" else Shape(1, 1)
            # a server splits a batch among its workers, as CTranslate2 does within one call
            shared_out = [all_workers] if side.library == "kakehashi" and cell.batch_size > 1 else []
            return [Setting(shape, cell.batch_size) for shape in dict.fromkeys((alone, one_worker, *shared_out))]
        shapes = (all_workers, one_worker) if side.library == "ctranslate2" else (all_workers,)
        sizes = self._plan.saturated_batch_sizes
        return [Setting(shape, size) for shape in dict.fromkeys(shapes) for size in sizes]

    def _scales(self, side: Side, cell: Cell) -> bool:
        """Whether one worker is measured as well as all of them."""
        return side.library == "kakehashi" and cell.batch_size is None and self._num_cores > 1

    def measure(self, cell: Cell, bar: Bar) -> list[Measurement]:
        """Time every side in its best setting, in turns; ours also with one worker, if there are several."""
        measurements: list[Measurement] = []
        for side in self._sides_of(cell):
            trials = []
            for setting in self._settings(side, cell):
                trials.append((self._time(side, setting, cell).tokens_per_second, setting))
                bar.update(1)
            best = max(trials, key=lambda trial: trial[0])[1]
            measurements.append(Measurement(cell, side, best, []))
            if self._scales(side, cell):
                measurements.append(Measurement(cell, side, replace(best, shape=Shape(1, 1)), []))
        for _ in range(self._plan.num_rounds):
            for measurement in measurements:
                measurement.timings.append(self._time(measurement.side, measurement.setting, cell))
                bar.update(1)
        return measurements

    def _time(self, side: Side, setting: Setting, cell: Cell) -> Timing:
        return self._fleet.run(side, setting.shape, self._works(setting, cell))[0]

    def _works(self, setting: Setting, cell: Cell) -> list[Work]:
        sentences = replace(self._timed[cell.beam_size], beam_size=cell.beam_size, batch_size=setting.batch_size)
        if cell.batch_size is not None:
            num_batches = max(1, MIN_LATENCY_SENTENCES // cell.batch_size)
            return [sentences.part(index * cell.batch_size, cell.batch_size) for index in range(num_batches)]
        num_sentences = self._plan.num_saturated // min(cell.beam_size, 2)
        if setting.shape == Shape(1, 1):  # the share of one worker when all run
            num_sentences //= self._num_cores
        return [sentences.part(0, num_sentences)]

    def compare(self, beam_size: int, bar: Bar) -> list[Agreement]:
        """Compare all sides with `transformers`, or else the first side. Call it before timing with this beam size."""
        sentences = replace(self._subject.sentences, beam_size=beam_size, batch_size=COMPARED_BATCH_SIZE)
        num_compared = self._plan.num_compared
        sentences = sentences.part(0, min(num_compared, MAX_COMPARED_FIXED) if sentences.fixed_length else num_compared)
        targets: dict[Side, Targets] = {}
        for side in self._sides:
            targets[side] = self._fleet.run(side, Shape(1, self._num_cores), [sentences])[1][0]
            bar.update(1)
        self._timed[beam_size] = _ending(self._subject.sentences, list(targets.values()))
        reference = next((side for side in self._sides if side.library == "transformers"), self._sides[0])
        search = Cell(self._subject.name, beam_size, None).search
        return [
            Agreement(
                self._subject.name,
                search,
                side,
                reference,
                sum(ours == their for ours, their in zip(targets[side], targets[reference], strict=True)),
                len(targets[side]),
            )
            for side in self._sides
            if side != reference
        ]


def _ending(sentences: Work, targets: Sequence[Targets]) -> Work:
    """Leave out sentences for which a side found no end: a looping target would dominate the time of its batch."""
    if sentences.fixed_length:
        return sentences
    longest = [max(map(len, of_sentence)) for of_sentence in zip(*targets, strict=True)]
    return sentences.only([index for index, length in enumerate(longest) if length < sentences.max_new_tokens])
