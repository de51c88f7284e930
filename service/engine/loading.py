"""Load a checkpoint's files into a `LoadedCheckpoint`, for this process and processes forked from it."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from model.checkpoint.config import Checkpoint, read_checkpoint
from model.checkpoint.fingerprint import fingerprint
from model.checkpoint.loading import load_transformer
from model.kernels import libraries
from model.transformer.compute_types import ComputeType, ComputeTypeChoice, LoadedIsa
from model.transformer.hardware import fastest_compute_type
from model.transformer.transformer import Transformer
from service.version import version

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    checkpoint: Checkpoint
    compute_type: ComputeType
    transformer: Transformer
    isa: LoadedIsa
    """The instruction set of the kernels that compute it; `none`: torch does."""
    fingerprint: str
    """A hash of the weights and everything else that decides the bits of encoder outputs; empty if not needed."""


def load_checkpoint(
    directory: Path,
    *,
    name: str,
    compute_type: ComputeTypeChoice,
    device: str,
    num_threads: int,
    needs_fingerprint: bool,
) -> LoadedCheckpoint:
    """Raises CheckpointError, ComputeTypeError, or RuntimeError if the device is not available.

    A fingerprint takes about a second for one or two gigabytes of files.
    """
    torch.set_num_threads(num_threads)
    checkpoint = read_checkpoint(directory, name=name)
    torch_device = torch.device(device)
    if compute_type == "auto":
        compute_type = fastest_compute_type(checkpoint.config, torch_device)
        if torch_device.type == "cpu" and compute_type != "int8":
            problem = libraries.find_kernels().problem
            logger.warning("%s runs in %s, several times slower than in int8: %s", name, compute_type, problem)
    transformer = load_transformer(checkpoint, compute_type=compute_type, device=torch_device)
    return LoadedCheckpoint(
        checkpoint,
        compute_type,
        transformer,
        isa=libraries.find_kernels().isa if transformer.encoder_kernel is not None else "none",
        fingerprint=_fingerprint(checkpoint, transformer) if needs_fingerprint else "",
    )


def _fingerprint(checkpoint: Checkpoint, transformer: Transformer) -> str:
    """Machines share encoder outputs only if they compute the same bits, so equal fingerprints must imply that.

    Our own kernels compute the same bits on every processor. torch may round differently by release and processor.
    """
    if transformer.encoder_kernel is not None:
        parts = ["kernels", str(libraries.ARITHMETIC)]
    else:
        device = transformer.device
        on_cpu = device.type == "cpu"
        processor = torch.backends.cpu.get_cpu_capability() if on_cpu else torch.cuda.get_device_name(device)
        parts = [version(), torch.__version__, device.type, processor]
    return hashlib.sha256("\n".join([fingerprint(checkpoint), *parts]).encode()).hexdigest()
