"""Weights from a checkpoint directory into a `Transformer`, strictly.

Read are `model.safetensors`, its sharded form with an index, or `pytorch_model.bin` (tensors only, no code). Every
missing, extra, misshapen or contradicting tensor is a CheckpointError with its name.
"""

from collections.abc import Mapping
from ctypes import CDLL
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.checkpoint.config import Checkpoint, CheckpointError, ModelConfig
from model.checkpoint.fields import Fields
from model.checkpoint.weight_names import Aliases, WeightTable, weight_table
from model.kernels import bindings as kernels
from model.transformer.compute_types import ComputeType
from model.transformer.linear import DTYPES, PACKED_LINEARS, pack_linears
from model.transformer.positions import positions_table
from model.transformer.transformer import Transformer

Tensors = Mapping[str, Tensor]
SINGLE, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
# What rounding a sinusoid to bfloat16, the coarsest of the file types, may change.
SINUSOID_TOLERANCE = 2**-8


def load_transformer(checkpoint: Checkpoint, *, compute_type: ComputeType, device: torch.device) -> Transformer:
    """The transformer of `checkpoint` on `device`, ready to compute: on CPU its linear layers are packed.

    Raises CheckpointError, and ValueError for a compute type that the device does not have.
    """
    if device.type != "cpu" and compute_type == "int8":
        raise ValueError("int8 is for CPUs; on CUDA the fast compute types are float16 and bfloat16")
    transformer = load_unpacked(checkpoint, dtype=DTYPES[compute_type], device=device)
    if device.type == "cpu" and compute_type in PACKED_LINEARS:
        pack_linears(transformer, compute_type)
    if compute_type == "int8" and kernels.is_available():
        transformer.use_kernels()
    _return_freed_memory()
    return transformer


def _return_freed_memory() -> None:
    """What was loaded and then packed takes as much memory again, which glibc would keep for later."""
    trim = getattr(CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def load_unpacked(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Transformer:
    """With all weights as plain parameters, in evaluation mode and without gradients. Raises CheckpointError."""
    tensors = read_tensors(checkpoint.directory)
    config = _with_ties_as_stored(checkpoint.config, tensors)
    table = weight_table(config)
    extra = sorted(tensors.keys() - table.names())
    if extra:
        raise CheckpointError(f"{checkpoint.directory}: tensors that the model does not have: {_listed(extra)}")
    _check_sinusoids(tensors, table, config)
    transformer = Transformer(config).to(dtype=dtype, device=device).requires_grad_(False).eval()
    for name, parameter in transformer.named_parameters():
        _fill(parameter, table.weights[name], tensors, table)
    return transformer


def _with_ties_as_stored(config: ModelConfig, tensors: Tensors) -> ModelConfig:
    """Where `tie_output` is open: tied, unless the file has an output projection that differs from the embeddings."""
    if config.tie_output is not None:
        return config
    weights = weight_table(replace(config, tie_output=False)).weights
    embeddings, output = (
        next((tensors[name] for name in weights[parameter][0] if name in tensors), None)
        for parameter in ("source_embed_tokens.weight", "output_projection.weight")
    )
    return replace(config, tie_output=embeddings is None or output is None or torch.equal(embeddings, output))


def read_tensors(directory: Path) -> Tensors:
    """All tensors in the weight files of `directory`, memory-mapped where the format allows it."""
    first, *shards = weight_files(directory)
    if first == directory / SINGLE:
        return _read_safetensors(first)
    return _read_shards(first, shards) if first == directory / INDEX else _read_pickled(first)


def weight_files(directory: Path) -> list[Path]:
    """The files that hold the weights, an index before the shards that it names. Raises CheckpointError."""
    found = next((directory / name for name in (SINGLE, INDEX, PICKLED) if (directory / name).exists()), None)
    if found is None:
        raise CheckpointError(f"{directory}: no weights: none of {SINGLE}, {INDEX}, {PICKLED}")
    if found.name != INDEX:
        return [found]
    return [found, *(directory / Path(file).name for file in sorted(set(map(str, _weight_map(found).values()))))]


def _weight_map(index: Path) -> Mapping[str, object]:
    weight_map = Fields.read(index).raw.get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{index}: no weight_map")
    return weight_map


def _read_safetensors(path: Path) -> Tensors:
    try:
        tensors: Tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from error
    return tensors


def _read_shards(index: Path, shards: list[Path]) -> Tensors:
    tensors: dict[str, Tensor] = {}
    for file in shards:
        tensors |= _read_safetensors(file)
    missing = sorted(_weight_map(index).keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"{index}: names tensors that its files do not hold: {_listed(missing)}")
    return tensors


def _read_pickled(path: Path) -> Tensors:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable file of plain tensors: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{path}: not a mapping of names to tensors")
    return tensors


def _fill(parameter: Tensor, parts: tuple[Aliases, ...], tensors: Tensors, table: WeightTable) -> None:
    """Copy the tensors of `parts` along the first axis of `parameter`, of which each takes an equal share."""
    for part, aliases in zip(parameter.chunk(len(parts)), parts, strict=True):
        present = [name for name in aliases if name in tensors]
        if not present and table.optional.issuperset(aliases):
            part.zero_()
            continue
        if not present:
            raise CheckpointError(f"missing tensor {' or '.join(aliases)} of shape {_shape(part)}")
        for name in present:
            tensor = tensors[name]
            expected = (1, *part.shape) if name in table.row_vectors else tuple(part.shape)
            if tuple(tensor.shape) != expected:
                raise CheckpointError(f"tensor {name} has shape {_shape(tensor)}, the model needs {list(expected)}")
            if not tensor.is_floating_point():
                raise CheckpointError(f"tensor {name} has type {tensor.dtype}, not a floating-point one")
            if not torch.equal(tensor, tensors[present[0]]):
                raise CheckpointError(f"tensors {present[0]} and {name} must be the same and differ")
        part.copy_(tensors[present[0]].reshape(part.shape))


def _check_sinusoids(tensors: Tensors, table: WeightTable, config: ModelConfig) -> None:
    """A stored position table may be longer or shorter than ours, and has rows before the offset that nobody reads."""
    for name in sorted(table.sinusoids & tensors.keys()):
        stored = tensors[name]
        if stored.ndim != 2 or stored.shape[1] != config.d_model or stored.shape[0] <= config.position_offset:
            raise CheckpointError(f"tensor {name} has shape {_shape(stored)}, not [positions, {config.d_model}]")
        stored = stored[config.position_offset :].float()
        ours = positions_table(config, num_positions=stored.shape[0])
        if not torch.allclose(stored, ours, rtol=0, atol=SINUSOID_TOLERANCE):
            raise CheckpointError(f"tensor {name} is not the sinusoidal table of {config.model_type}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
