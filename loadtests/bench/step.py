"""A decode step of the engine on one core, its lower bound, and the memory of a process.

The floor of a step is the time to read its bytes once (weights of the decoder and the output projection, K and V so
far) at the bandwidth measured for that many bytes, or to compute its operations at the peak measured for large
matrices, whichever is longer. The step includes the search for the next tokens.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import torch
from tqdm import tqdm

from loadtests.bench import step_tables, tables
from loadtests.bench.checkpoints import CheckpointName, Subject, load_subject
from loadtests.bench.decode_steps import StepSize, StepTime, StepTimer
from loadtests.bench.machine import Machine
from loadtests.bench.memory import measure_memory
from loadtests.bench.roofline import Roofline, measure_roofline
from loadtests.bench.sides import Side

ROWS = (1, 2, 4, 8, 16, 32, 64)
SOURCE_LENGTHS = (10, 25, 50, 100, 200)
ROWS_BY_SOURCE_LENGTH = (1, 32)
NUM_TARGET_TOKENS = 24
"""Target tokens of a sentence, decoded before memory is measured."""
QUICK_ROWS = (1, 8)
QUICK_SOURCE_LENGTHS = (10, 50)
COMPUTE_TYPES = ("float32", "bfloat16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="a few sizes: only checks that it works")
    names = get_args(CheckpointName)
    parser.add_argument("--checkpoints", nargs="+", choices=names, default=list(names))
    parser.add_argument("--compute-types", nargs="+", choices=COMPUTE_TYPES, default=["int8", "float32"])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--source-tokens", type=int, default=25, help="source length of the measurements by rows")
    parser.add_argument("--self-tokens", type=int, default=20, help="target tokens so far, prompt included")
    parser.add_argument("--source-lengths", type=int, nargs="+", help=f"measured at {ROWS_BY_SOURCE_LENGTH} rows")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    machine = Machine.read()
    print(tables.heading(machine))
    roofline = measure_roofline(arguments.compute_types)
    print(f"\n{step_tables.roofline_table(roofline)}", flush=True)
    times: list[StepTime] = []
    with TemporaryDirectory() as scratch:
        subjects = [
            load_subject(name, Path(scratch), num_target_tokens=NUM_TARGET_TOKENS) for name in arguments.checkpoints
        ]
        for subject in subjects:
            measured = measure_steps(subject, arguments, roofline)
            print(f"\n{step_tables.step_table(measured)}", flush=True)
            times += measured
        sides = [Side("kakehashi", each) for each in arguments.compute_types] + [Side("ctranslate2", "int8")]
        uses = [
            measure_memory(subject, side, Path(scratch) / subject.name)
            for subject in subjects
            for side in tqdm(sides, unit="process", desc=f"{subject.name}: memory")
        ]
    print(f"\n{step_tables.memory_table(uses)}")
    if arguments.plot is not None:
        from loadtests.bench.plots import plot_steps

        plot_steps(times, machine, arguments.plot)


def measure_steps(subject: Subject, arguments: argparse.Namespace, roofline: Roofline) -> list[StepTime]:
    """Measure all sizes, with a progress bar on stderr."""
    sizes = sizes_of(arguments)
    times = []
    with tqdm(total=len(sizes) * len(arguments.compute_types), unit="size") as bar:
        for compute_type in arguments.compute_types:
            bar.set_description(f"{subject.name}: {compute_type}")
            timer = StepTimer(subject.name, subject.directory, compute_type=compute_type, roofline=roofline)
            for size in sizes:
                times.append(timer.measure(size))
                bar.update()
    return times


def sizes_of(arguments: argparse.Namespace) -> list[StepSize]:
    """The sizes by rows, then by source length, without repeats."""
    rows = arguments.rows or (QUICK_ROWS if arguments.quick else ROWS)
    lengths = arguments.source_lengths or (QUICK_SOURCE_LENGTHS if arguments.quick else SOURCE_LENGTHS)
    by_rows = [StepSize(each, arguments.source_tokens, arguments.self_tokens) for each in rows]
    by_length = [StepSize(each, length, arguments.self_tokens) for each in ROWS_BY_SOURCE_LENGTH for length in lengths]
    return list(dict.fromkeys([*by_rows, *by_length]))
