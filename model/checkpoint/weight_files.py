"""The weight files of a checkpoint: one file, or several with an index, in either format.

Nothing here imports torch, so that the service process can download a checkpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint.fields import CheckpointError, Fields

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
FORMATS = (SAFETENSORS, PICKLED)
"""The names of a single weight file, in order of preference, as in `transformers`."""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    files: tuple[Path, ...]
    index: Path | None
    indexed_tensors: frozenset[str]
    """The tensor names in the index; empty without an index."""

    def __iter__(self) -> Iterator[Path]:
        """All files, the index first."""
        return iter(self.files if self.index is None else (self.index, *self.files))


def index_name(single: str) -> str:
    """The name of the index of the files that replace a `single` one."""
    return f"{single}.index.json"


def find_weight_files(directory: Path) -> WeightFiles:
    """Raises CheckpointError if there are none. A file that is named by the index but missing fails on reading."""
    for single in FORMATS:
        if (directory / single).exists():
            return WeightFiles((directory / single,), None, frozenset())
        index = directory / index_name(single)
        if index.exists():
            weight_map = _weight_map(index)
            files = sorted(set(weight_map.values()))
            return WeightFiles(tuple(directory / file for file in files), index, frozenset(weight_map))
    names = ", ".join(name for single in FORMATS for name in (single, index_name(single)))
    raise CheckpointError(f"{directory}: no weights: none of {names}")


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor. All files lie beside the index."""
    weight_map = Fields.read(index).raw.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: no weight_map")
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise CheckpointError(f"{index}: {name} is in {file!r}, which is not the name of a file beside it")
    return weight_map
