"""Who is measured, and how its work is spread over the cores: plain data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from loadtests.bench.work import Targets, Work

Library = Literal["kakehashi", "ctranslate2", "transformers"]


@dataclass(frozen=True, slots=True)
class Side:
    library: Library
    compute_type: str

    @property
    def name(self) -> str:
        return f"{self.library} {self.compute_type}"


@dataclass(frozen=True, slots=True)
class Shape:
    num_workers: int
    """Processes of ours, `inter_threads` of CTranslate2."""
    num_threads: int
    """Of each worker; `intra_threads` of CTranslate2."""

    def __str__(self) -> str:
        return f"{self.num_workers} × {self.num_threads}"


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """What a process needs to know to become one side."""

    side: Side
    directory: Path
    """The checkpoint, as this side reads it."""
    shape: Shape
    """Within the process."""


class Backend(Protocol):
    def translate(self, work: Work) -> Targets: ...
