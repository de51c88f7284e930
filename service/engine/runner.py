"""The checkpoints of a worker, run by torch. Only this module and `loading` import torch in the service."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import torch

from model.checkpoint.config import CheckpointError
from model.cuda.device import use_device
from model.decoding.batch import DecodingBatch, NewDecode
from model.search.results import Progress
from model.search.spec import DecodeSpec
from model.transformer.compute_types import ComputeTypeError, IsaError
from service.engine.channel import Channel
from service.engine.device_errors import device_errors
from service.engine.entry_log import EntryLog
from service.engine.huge_pages import take_huge_pages
from service.engine.loading import LoadedCheckpoint, load_checkpoint
from service.engine.turns import SourceIds
from service.engine.types import CheckpointInfo, CheckpointSpec, Loaded, LoadFailed, WorkerSpec
from service.engine.worker import Worker, make_loop, serve

logger = logging.getLogger(__name__)

AUTO_KV_BYTES = 2**30
"""Memory for the caches of all checkpoints of a worker on a CPU, together."""
ROWS_PER_EXPRESS_ROW = 16
"""The size of the express lane, as a share of the main one."""
MEASURED_TOKENS = 64
"""Source tokens whose encoding is timed, to estimate the longest turn."""


class Runner:
    """A `RunningBatch` of one checkpoint. Encoder outputs are [S, D]."""

    def __init__(
        self, loaded: LoadedCheckpoint, checkpoint: CheckpointSpec, spec: WorkerSpec, *, max_rows: int, kv_bytes: int
    ) -> None:
        """0 rows: as many as have room in `kv_bytes`."""
        torch.set_num_threads(spec.num_threads)
        transformer = loaded.transformer
        max_target_tokens = min(checkpoint.max_target_tokens, loaded.checkpoint.config.max_positions)
        max_rows = max_rows or DecodingBatch.choose_max_rows(
            transformer,
            max_source_tokens=checkpoint.max_source_tokens,
            max_target_tokens=max_target_tokens,
            kv_bytes=kv_bytes,
        )
        self._batch = DecodingBatch(
            transformer,
            loaded.checkpoint,
            max_rows=max_rows,
            max_source_tokens=checkpoint.max_source_tokens,
            max_target_tokens=max_target_tokens,
        )
        self.info = CheckpointInfo(
            name=checkpoint.name,
            device=spec.device,
            compute_type=loaded.compute_type,
            fingerprint=loaded.fingerprint,
            encoder_dtype=self._batch.encoder_dtype,
            max_rows=max_rows,
            num_parameters=transformer.num_parameters,
            kv_bytes=self._batch.kv_bytes,
            isa=loaded.isa,
            decoder_bias_by_distance=transformer.decoder_bias_by_distance(max_target_tokens),
        )

    @property
    def num_rows(self) -> int:
        return self._batch.num_rows

    @property
    def num_free_rows(self) -> int:
        return self._batch.num_free_rows

    def encode(self, sources: Sequence[SourceIds]) -> tuple[list[object], int]:
        with self._device_errors():
            encoded = self._batch.encode(sources)
        return list(encoded.hidden_states), encoded.num_padding_tokens

    def fetch(self, encoder_outputs: Sequence[object]) -> Callable[[], list[bytes]]:
        return self._batch.fetch_encoder_outputs([_tensor(output) for output in encoder_outputs])

    def from_bytes(self, encoder_output: bytes, *, num_tokens: int) -> object:
        return self._batch.encoder_output_tensor(encoder_output, num_tokens)

    def add(self, decodes: Sequence[tuple[int, DecodeSpec, object]]) -> None:
        with self._device_errors():
            self._batch.add([NewDecode(decode_id, spec, _tensor(output)) for decode_id, spec, output in decodes])

    def remove(self, decode_ids: Sequence[int]) -> None:
        self._batch.remove(decode_ids)

    def step(self, *, max_tokens: int = 1) -> list[Progress]:
        with self._device_errors():
            return self._batch.step(max_tokens=max_tokens)

    def _device_errors(self) -> AbstractContextManager[None]:
        device = self.info.device
        return device_errors(lambda: None if device == "cpu" else torch.cuda.synchronize(device))

    def warm_up(self, spec: DecodeSpec, *, max_encode_tokens: int) -> float:
        """Record the steps, and decode `spec` to its end. Returns an estimate of the longest turn, in seconds.

        Raises CheckpointError if decoding fails.
        """
        self._batch.record_steps()
        source = (spec.source_ids * MEASURED_TOKENS)[:MEASURED_TOKENS]
        (output,), _ = self.encode([spec.source_ids])
        self.add([(0, spec, output)])
        while self._batch.num_rows:
            for progress in self.step():
                if progress.problem:
                    raise CheckpointError(progress.problem)
        began = time.monotonic()
        outputs, _ = self.encode([source])
        self.fetch(outputs)()
        return (time.monotonic() - began) * max(1.0, max_encode_tokens / MEASURED_TOKENS)


def load(checkpoint: CheckpointSpec, spec: WorkerSpec, *, num_threads: int) -> LoadedCheckpoint:
    """Raises the errors of `load_checkpoint`."""
    return load_checkpoint(
        Path(checkpoint.directory),
        name=checkpoint.name,
        compute_type=spec.compute_type,
        device=spec.device,
        num_threads=num_threads,
        needs_fingerprint=spec.needs_fingerprint,
    )


def run(
    channel: Channel, entry_log: EntryLog, spec: WorkerSpec, loaded: Mapping[CheckpointSpec, LoadedCheckpoint]
) -> None:
    """Load checkpoints missing from `loaded`, warm up, then serve. Raises SystemExit for an unusable checkpoint."""
    runners: dict[str, Runner] = {}
    express: dict[str, Runner] = {}
    longest_turn_seconds = 0.0
    ready: dict[CheckpointSpec, LoadedCheckpoint] = {}
    for checkpoint in spec.checkpoints:
        with _failures_reported(channel, checkpoint, spec):
            if spec.device != "cpu":
                use_device(torch.device(spec.device))
            ready[checkpoint] = loaded.get(checkpoint) or load(checkpoint, spec, num_threads=spec.num_threads)
    kv_bytes = _kv_bytes(spec) // len(spec.checkpoints)
    for checkpoint in spec.checkpoints:
        with _failures_reported(channel, checkpoint, spec):
            make_runner = partial(Runner, ready[checkpoint], checkpoint, spec, kv_bytes=kv_bytes)
            runner = runners[checkpoint.name] = make_runner(max_rows=spec.max_rows)
            if num_express_rows := _num_express_rows(runner.info):
                express[checkpoint.name] = make_runner(max_rows=num_express_rows)
            turn_seconds = runner.warm_up(checkpoint.warm_up, max_encode_tokens=spec.max_encode_tokens)
            longest_turn_seconds = max(longest_turn_seconds, turn_seconds)
    take_huge_pages(more=False)
    infos = [_info(runner, express.get(name)) for name, runner in runners.items()]
    channel.send(msgspec.msgpack.encode(Loaded(infos, longest_turn_seconds)))
    loops = {
        name: make_loop(
            runner,
            express.get(name),
            entry_log,
            max_encode_tokens=spec.max_encode_tokens,
            max_bulk_wait_seconds=spec.max_bulk_wait_seconds,
        )
        for name, runner in runners.items()
    }
    with torch.inference_mode():
        serve(channel, Worker(loops))


def _info(main: Runner, express: Runner | None) -> CheckpointInfo:
    kv_bytes = main.info.kv_bytes + (0 if express is None else express.info.kv_bytes)
    return msgspec.structs.replace(main.info, kv_bytes=kv_bytes)


def _num_express_rows(info: CheckpointInfo) -> int:
    """None on a GPU, where a step is expected to take not much longer for all rows than for one; not measured."""
    return 0 if info.device.startswith("cuda") else info.max_rows // ROWS_PER_EXPRESS_ROW


def _kv_bytes(spec: WorkerSpec) -> int:
    """Memory for the caches of all checkpoints; on CUDA a fraction of the free memory, once the weights are loaded."""
    if spec.device == "cpu":
        return AUTO_KV_BYTES
    free, _ = torch.cuda.mem_get_info(spec.device)
    return int(free * spec.gpu_memory_fraction)


@contextmanager
def _failures_reported(channel: Channel, checkpoint: CheckpointSpec, spec: WorkerSpec) -> Iterator[None]:
    """Report any error to the service process, which stops the start, and exit."""
    try:
        yield
    except Exception as error:
        channel.send(msgspec.msgpack.encode(LoadFailed(_describe(error, checkpoint, spec))))
        sys.exit(1)


def _describe(error: Exception, checkpoint: CheckpointSpec, spec: WorkerSpec) -> str:
    match error:
        case IsaError():
            return str(error)
        case ComputeTypeError():
            return f"KAKEHASHI_COMPUTE_TYPE={spec.compute_type} cannot be used: {error}"
        case CheckpointError():
            return f"cannot serve {checkpoint.name}: {error}"
        case _:
            return f"cannot serve {checkpoint.name}: {type(error).__name__}: {error}"


def _tensor(encoder_output: object) -> torch.Tensor:
    assert isinstance(encoder_output, torch.Tensor), "an encoder output is a tensor"
    return encoder_output
