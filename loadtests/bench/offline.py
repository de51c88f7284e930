"""Compare the engine with CTranslate2 and `transformers`: the same weights, token ids and lengths, in turns in one run.

In each cell (a checkpoint, a search, a batch) a trial picks and warms up the best setting of every side. Then the sides
take turns for `--rounds` rounds, and tables show the median round with the least and the most. A single batch runs on
one worker, with one thread or with a thread for each core, or is split among as many workers as cores; `saturated` is
many sentences on all cores. Our workers are processes, CTranslate2's are threads of one process. The time of a batch
includes encoding and all setup.

The random Marian has targets of a fixed length. The bundled checkpoint translates sentences to their natural ends;
targets differ where sides round differently, and the last table counts how often. Sentences without an end on some
side are compared but not timed.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from tqdm import tqdm

from loadtests.bench import tables
from loadtests.bench.checkpoints import NUM_SENTENCES, CheckpointName, Subject, load_subject
from loadtests.bench.contest import Contest, ContestPlan
from loadtests.bench.fleet import Fleet
from loadtests.bench.machine import Machine
from loadtests.bench.measurements import Agreement, Measurement
from loadtests.bench.sides import Side
from model.transformer.compute_types import ComputeType

PEERS = ("ctranslate2", "transformers")
FULL = ContestPlan(
    beam_sizes=(1, 4),
    batch_sizes=(1, 8, 32, 64),
    saturated_batch_sizes=(32, 64),
    num_saturated=256,
    num_compared=256,
    num_rounds=3,
    num_target_tokens=24,
)
QUICK = ContestPlan(
    beam_sizes=(1, 4),
    batch_sizes=(1, 8),
    saturated_batch_sizes=(8, 16),
    num_saturated=32,
    num_compared=32,
    num_rounds=1,
    num_target_tokens=8,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="small batches and one round: only checks that it works")
    parser.add_argument(
        "--checkpoints", nargs="+", choices=get_args(CheckpointName), default=list(get_args(CheckpointName))
    )
    parser.add_argument("--compute-types", nargs="+", choices=get_args(ComputeType), default=["int8", "float32"])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--peer-compute-types", nargs="+", default=["int8"], help="compute types of CTranslate2")
    parser.add_argument("--beam-sizes", type=int, nargs="+", help="1 is greedy search")
    parser.add_argument("--batch-sizes", type=int, nargs="+", help="sentences in a single batch")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--target-tokens", type=int, help="target length of the random Marian")
    parser.add_argument("--data", type=Path, help="a directory of NAME.en-XX.tsv for the bundled checkpoint")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")


def run(arguments: argparse.Namespace) -> None:
    machine = Machine.read()
    plan = plan_of(arguments)
    sides = sides_of(arguments)
    measurements: list[Measurement] = []
    agreements: list[Agreement] = []
    print(tables.heading(machine))
    with TemporaryDirectory() as scratch:
        for name in arguments.checkpoints:
            subject = load_subject(name, Path(scratch), num_target_tokens=plan.num_target_tokens, data=arguments.data)
            measured, compared = contend(subject, sides, plan, machine, Path(scratch) / name)
            print(f"\n{subject.description}\n\n{tables.speed_table(measured)}", flush=True)
            measurements += measured
            agreements += compared
    for table in (tables.scaling_table(measurements), tables.agreement_table(agreements)):
        if table:
            print(f"\n{table}")
    if arguments.plot is not None:
        from loadtests.bench.plots import plot_speeds  # only here: most runs need no matplotlib

        plot_speeds(measurements, machine, arguments.plot)


def plan_of(arguments: argparse.Namespace) -> ContestPlan:
    plan = QUICK if arguments.quick else FULL
    plan = ContestPlan(
        beam_sizes=tuple(arguments.beam_sizes or plan.beam_sizes),
        batch_sizes=tuple(arguments.batch_sizes or plan.batch_sizes),
        saturated_batch_sizes=plan.saturated_batch_sizes,
        num_saturated=plan.num_saturated,
        num_compared=plan.num_compared,
        num_rounds=arguments.rounds or plan.num_rounds,
        num_target_tokens=arguments.target_tokens or plan.num_target_tokens,
    )
    if max(plan.batch_sizes) > NUM_SENTENCES:
        raise SystemExit(f"--batch-sizes: {max(plan.batch_sizes)} is more than the {NUM_SENTENCES} sentences")
    return plan


def sides_of(arguments: argparse.Namespace) -> list[Side]:
    sides = [Side("kakehashi", compute_type) for compute_type in arguments.compute_types]
    if "ctranslate2" in arguments.peers:
        sides += [Side("ctranslate2", compute_type) for compute_type in arguments.peer_compute_types]
    return [*sides, Side("transformers", "float32")] if "transformers" in arguments.peers else sides


def contend(
    subject: Subject, sides: list[Side], plan: ContestPlan, machine: Machine, scratch: Path
) -> tuple[list[Measurement], list[Agreement]]:
    """Compare and time all sides, with a progress bar on stderr."""
    measurements: list[Measurement] = []
    agreements: list[Agreement] = []
    with Fleet(subject.directory, scratch=scratch) as fleet:
        contest = Contest(fleet, subject, sides, plan, num_cores=machine.num_cores)
        with tqdm(total=contest.num_runs, unit="run", desc=f"{subject.name}: loading") as bar:
            contest.start()
            for beam_size in plan.beam_sizes:
                bar.set_description(f"{subject.name}: comparing")
                agreements += contest.compare(beam_size, bar)
            for cell in contest.cells:
                bar.set_description(f"{cell.subject}: {cell.search}, {cell.batch}")
                measurements += contest.measure(cell, bar)
    return measurements, agreements
