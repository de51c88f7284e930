"""Measure the engine on a GPU: python -m loadtests.bench gpu [--output DIR].

Runs by itself in less than 8 minutes and needs no network: torch, Triton, transformers, NumPy, safetensors,
sentencepiece and tqdm, from a source tree that is not installed. A server is loaded only where its packages are there.
Writes report.md and report.json, also when a part fails. `--device cpu` takes a few seconds and shows that it works.
"""

import argparse
import logging
import platform
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from loadtests.bench.gpu import pace, parity, served, steps, throughput
from loadtests.bench.gpu.report import Part, as_json, as_markdown
from loadtests.bench.gpu.setting import OutOfTimeError, Setting

PARTS: dict[str, tuple[str, Callable[[Setting, Part], None]]] = {
    "parity": ("Parity and guarantees", parity.measure),
    "steps": ("Step times", steps.measure),
    "pace": ("Pace and waits", pace.measure),
    "throughput": ("Throughput", throughput.measure),
    "served": ("A served load", served.measure),
}
MAX_SECONDS = 450.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu: a tiny run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--max-seconds", type=float, default=MAX_SECONDS)
    parser.add_argument("--output", type=Path, default=Path("gpu-report"), metavar="DIR")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if something that must hold was missed."""
    logging.basicConfig(level=logging.WARNING)
    setting = Setting.of(arguments.device, max_seconds=arguments.max_seconds)
    heading = (
        f"{setting.device_name}, torch {torch.__version__}, Python {platform.python_version()}"
        f"{', a tiny run: its figures mean nothing' if setting.is_tiny else ''}"
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    for name in arguments.parts:
        parts.append(run_part(name, setting))
        # After each part: the run may be cut off.
        (arguments.output / "report.md").write_text(as_markdown(heading, parts), encoding="utf-8")
        (arguments.output / "report.json").write_text(as_json(heading, parts), encoding="utf-8")
    print(as_markdown(heading, parts))
    if not all(check.holds for part in parts for check in part.checks):
        raise SystemExit("something that must hold was missed: see above")


def run_part(name: str, setting: Setting) -> Part:
    title, measure = PARTS[name]
    part = Part(title)
    began = time.monotonic()
    try:
        measure(setting, part)
    except Exception as error:  # the other parts are still useful
        if not isinstance(error, OutOfTimeError):
            traceback.print_exc()
        part.problem = f"{type(error).__name__}: {error}"
        part.check("the part runs to its end", holds=False)
    part.seconds = time.monotonic() - began
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
    return part
