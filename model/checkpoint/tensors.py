"""All tensors of a checkpoint's files by name, memory-mapped where the format allows. Never runs code from a file."""

from pathlib import Path
from pickle import UnpicklingError
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.checkpoint.fields import CheckpointError
from model.checkpoint.weight_files import WeightFiles

Tensors = dict[str, Tensor]


def read_tensors(weight_files: WeightFiles) -> Tensors:
    """Raises CheckpointError, which names the file that cannot be read."""
    tensors: Tensors = {}
    for path in weight_files.files:
        tensors |= _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    return tensors


def _read_safetensors(path: Path) -> Tensors:
    try:
        tensors: Tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from error
    return tensors


def _read_pickled(path: Path) -> Tensors:
    try:
        # Only the newer of the two formats, a zip archive, stores each tensor in one piece.
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except (UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable file of plain tensors: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{path}: not a mapping of names to tensors")
    return tensors
