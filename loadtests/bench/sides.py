"""The sides that are measured, and how their work is spread over the cores: plain data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from loadtests.bench.work import Targets, Work

Library = Literal["kakehashi", "ctranslate2", "transformers"]


@dataclass(frozen=True, slots=True)
class Side:
    library: Library
    compute_type: str
    device: str = "cpu"

    @property
    def name(self) -> str:
        return f"{self.library} {self.compute_type}"


@dataclass(frozen=True, slots=True)
class Shape:
    num_workers: int
    """Processes for ours, `inter_threads` for CTranslate2."""
    num_threads: int
    """Threads of a worker; `intra_threads` for CTranslate2."""

    def __str__(self) -> str:
        return f"{self.num_workers} × {self.num_threads}"


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """The instructions for a process that becomes one side."""

    side: Side
    directory: Path
    """The checkpoint in the format of this side."""
    shape: Shape
    """The part of the shape inside the process."""


class Backend(Protocol):
    def translate(self, work: Work) -> Targets: ...
