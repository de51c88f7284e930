"""Weights from a checkpoint directory into a `Transformer`, strictly.

A missing, extra, misshapen or contradictory tensor raises a CheckpointError that names it. Files are memory-mapped,
each parameter is created in its final type and place, and on CPU each linear layer is packed as soon as it is filled.
Loading therefore takes little more memory than the loaded model.
"""

from collections.abc import Set
from ctypes import CDLL
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoint.config import Checkpoint, CheckpointError, ModelConfig
from model.checkpoint.tensors import Tensors, read_tensors
from model.checkpoint.weight_files import find_weight_files
from model.checkpoint.weight_names import Aliases, WeightTable, weight_table
from model.transformer.compute_types import ComputeType
from model.transformer.hardware import check_compute_type
from model.transformer.linear import DTYPES, PACKED_LINEARS, Linear, PackedKind
from model.transformer.positions import positions_table
from model.transformer.transformer import Transformer

# The largest rounding error of a sinusoid in bfloat16, the coarsest file type.
SINUSOID_TOLERANCE = 2**-8


def load_transformer(checkpoint: Checkpoint, *, compute_type: ComputeType, device: torch.device) -> Transformer:
    """Load `checkpoint` on `device`, ready to compute: on CPU its linear layers are packed.

    Raises CheckpointError, and ComputeTypeError for a compute type that the device does not support.
    """
    check_compute_type(compute_type, device)
    packed = PACKED_LINEARS.get(compute_type) if device.type == "cpu" else None
    transformer = _load(checkpoint, dtype=DTYPES[compute_type], device=device, packed=packed)
    if compute_type == "int8":
        transformer.use_kernels()
    _return_freed_memory()
    return transformer


def load_unpacked(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Transformer:
    """Load with all weights as plain parameters, in evaluation mode, without gradients. Raises CheckpointError."""
    return _load(checkpoint, dtype=dtype, device=device, packed=None)


@torch.no_grad()
def _load(
    checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device, packed: PackedKind | None
) -> Transformer:
    files = find_weight_files(checkpoint.directory)
    tensors = read_tensors(files)
    config = _with_ties_as_stored(checkpoint.config, tensors)
    table = weight_table(config)
    names = table.names_of(tensors.keys() | files.indexed_tensors)
    tensors = {names[name]: tensor for name, tensor in tensors.items()}
    _check_names(tensors.keys(), {names[name] for name in files.indexed_tensors}, table, checkpoint.directory)
    _check_sinusoids(tensors, table, config)
    transformer = Transformer(config).eval()
    for path in [path for path, _ in transformer.named_modules()]:  # a list of modules would keep unpacked ones alive
        module = transformer.get_submodule(path)
        for key, parameter in list(module.named_parameters(recurse=False)):
            parts = table.weights.get(f"{path}.{key}")
            if parts is None:  # the output projection, tied to the embeddings, which are filled by now
                setattr(module, key, transformer.target_embed_tokens.weight)
                continue
            filled = _filled(parameter.shape, parts, tensors, table, dtype=dtype, device=device)
            module.register_parameter(key, nn.Parameter(filled, requires_grad=False))
        if packed is not None and isinstance(module, Linear):
            transformer.set_submodule(path, packed(module))
    return transformer.to(dtype=dtype, device=device)  # the position tables


def _return_freed_memory() -> None:
    """Return the memory of weights that have been packed to the system; glibc would keep it for later."""
    trim = getattr(CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _with_ties_as_stored(config: ModelConfig, tensors: Tensors) -> ModelConfig:
    """If `tie_output` is None: tied, unless the file has an output projection that differs from the embeddings."""
    if config.tie_output is not None:
        return config
    weights = weight_table(replace(config, tie_output=False)).weights
    embeddings, output = (
        next((tensors[name] for name in weights[parameter][0] if name in tensors), None)
        for parameter in ("source_embed_tokens.weight", "output_projection.weight")
    )
    return replace(config, tie_output=embeddings is None or output is None or torch.equal(embeddings, output))


def _check_names(held: Set[str], indexed: Set[str], table: WeightTable, directory: Path) -> None:
    """Refuse tensors that the model does not have, and indexed tensors that the model reads but the files lack.

    An index may name tensors that its files rightly lack: tied tensors, stored under one of their names, and tensors
    that nothing reads.
    """
    extra = sorted(held - table.names())
    if extra:
        raise CheckpointError(f"{directory}: tensors that the model does not have: {_listed(extra)}")
    tied = {name for group in table.alias_groups() if not held.isdisjoint(group) for name in group}
    missing = sorted(indexed - held - tied - table.unused - table.sinusoids)
    if missing:
        raise CheckpointError(f"{directory}: an index names tensors that its files do not hold: {_listed(missing)}")


def _filled(
    shape: torch.Size,
    parts: tuple[Aliases, ...],
    tensors: Tensors,
    table: WeightTable,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Lay the tensors of `parts` along the first axis of one tensor, in equal shares."""
    filled = torch.empty(shape, dtype=dtype, device=device)
    for part, aliases in zip(filled.chunk(len(parts)), parts, strict=True):
        present = [name for name in aliases if name in tensors]
        if not present and table.optional.issuperset(aliases):
            part.zero_()
            continue
        if not present:
            raise CheckpointError(f"missing tensor {' or '.join(aliases)} of shape {_shape(part)}")
        first = tensors[present[0]]
        for name in present:
            tensor = tensors[name]
            expected = (1, *part.shape) if name in table.row_vectors else tuple(part.shape)
            if tuple(tensor.shape) != expected:
                raise CheckpointError(f"tensor {name} has shape {_shape(tensor)}, the model needs {list(expected)}")
            if not tensor.is_floating_point():
                raise CheckpointError(f"tensor {name} has type {tensor.dtype}, not a floating-point one")
            if tensor is not first and not torch.equal(tensor, first):
                raise CheckpointError(f"tensors {present[0]} and {name} must be the same and differ")
        part.copy_(first.reshape(part.shape))
        for name in present:  # frees tensors of a format that is not memory-mapped
            del tensors[name]
    return filled


def _check_sinusoids(tensors: Tensors, table: WeightTable, config: ModelConfig) -> None:
    """A stored position table may be longer or shorter than ours; its rows before the offset are unused."""
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
