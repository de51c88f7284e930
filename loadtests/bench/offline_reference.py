"""The engine without a server: the same sentences, in as many processes as the server had workers, a thread each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from loadtests.bench.fleet import Fleet
from loadtests.bench.running_server import ServedCheckpoint, cpu_seconds, machine_cpu_seconds
from loadtests.bench.sides import Shape, Side
from loadtests.bench.source_lines import SourceLine, encoded
from loadtests.bench.work import Work
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import read_checkpoint
from model.checkpoint.hub import resolve_checkpoint
from model.tokenizers.loading import load_tokenizer
from service.app import BUNDLED_NAME

NUM_WARM_UP = 8
"""Sentences for each process."""


@dataclass(frozen=True, slots=True)
class OfflineRound:
    """One decode of all sentences. `others` is the CPU time of all other processes, in cores."""

    tokens_per_second: float
    others: float


def measure_offline(
    checkpoint: ServedCheckpoint, sentences: Sequence[SourceLine], *, num_rounds: int, scratch: Path
) -> list[OfflineRound]:
    """Call it while no server runs. Raises RuntimeError if a process ends."""
    directory = BUNDLED_MODEL if checkpoint.name == BUNDLED_NAME else resolve_checkpoint(checkpoint.name)
    tokenizer = load_tokenizer(read_checkpoint(directory, name=checkpoint.name))
    work = encoded(sentences, tokenizer, max_new_tokens=checkpoint.max_new_tokens)
    work = replace(work, batch_size=checkpoint.max_rows, repetition_guard=True)
    side, shape = Side("kakehashi", checkpoint.compute_type, checkpoint.device), Shape(checkpoint.workers, 1)
    with Fleet(directory, scratch=scratch) as fleet:
        fleet.start([(side, shape)])
        fleet.run(side, shape, [work.part(0, NUM_WARM_UP * checkpoint.workers)])
        return [_measure_round(fleet, side, shape, work) for _ in range(num_rounds)]


def _measure_round(fleet: Fleet, side: Side, shape: Shape, work: Work) -> OfflineRound:
    workers = [psutil.Process(pid) for pid in fleet.pids(side)]

    def others() -> float:
        return machine_cpu_seconds() - sum(map(cpu_seconds, workers)) - time.process_time()

    before = others()
    timing, _ = fleet.run(side, shape, [work])
    return OfflineRound(timing.tokens_per_second, max(0.0, others() - before) / timing.seconds)
