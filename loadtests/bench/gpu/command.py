"""Measure the engine on a GPU: python -m loadtests.bench gpu [--output DIR].

Runs by itself in less than 8 minutes and needs no network: torch, Triton, transformers, NumPy, safetensors,
sentencepiece and tqdm, from a source tree that is not installed. A server is loaded only where its packages are there,
and CTranslate2 where it is and finds a GPU. Writes report.md and report.json after each part, also when it fails.
`--device cpu` takes a few seconds and shows that it works.
"""

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path

from loadtests.bench.gpu.part_process import PartProcess
from loadtests.bench.gpu.parts import PARTS
from loadtests.bench.gpu.report import Part, as_json, as_markdown

MAX_SECONDS = 450.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu: a tiny run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--max-seconds", type=float, default=MAX_SECONDS)
    parser.add_argument("--output", type=Path, default=Path("gpu-report"), metavar="DIR")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if something that must hold was missed."""
    deadline = time.monotonic() + arguments.max_seconds
    arguments.output.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    with PartProcess(arguments.device) as process:
        heading = f"{process.device_name}, torch {version('torch')}, Python {platform.python_version()}"
        if arguments.device == "cpu":
            heading += ", a tiny run: its figures mean nothing"
        for name in arguments.parts:
            seconds_left = max(0.0, deadline - time.monotonic())
            parts.append(process.measure(name, max_seconds=min(PARTS[name].max_seconds, seconds_left)))
            # After each part: the run may be cut off.
            (arguments.output / "report.md").write_text(as_markdown(heading, parts), encoding="utf-8")
            (arguments.output / "report.json").write_text(as_json(heading, parts), encoding="utf-8")
    print(as_markdown(heading, parts))
    if not all(check.holds for part in parts for check in part.checks):
        raise SystemExit("something that must hold was missed: see above")
