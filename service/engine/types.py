"""The messages between the service process and its workers: plain data, encoded as MessagePack by msgspec.

A worker receives `Submit`, `Update` and `Cancel`. It sends `Loaded` or `LoadFailed` once, then a `StepReport` a turn.
Every submitted decode that is not cancelled ends exactly once, in a `Progress` with hypotheses or in a `Failed`.
"""

import msgspec

from model.search.results import Progress
from model.search.spec import DecodeSpec
from model.transformer.compute_types import ComputeType, ComputeTypeChoice, EncoderDtype, Isa, LoadedIsa
from service.engine.events import Failed, Started
from service.engine.owner import Priority
from service.observability.log import LogFormat, LogLevel


class CheckpointSpec(msgspec.Struct, frozen=True):
    """A checkpoint to load, the longest source and target that its caches must hold, and a sentence for the warm-up.

    `max_target_tokens` includes the decoder prompt.
    """

    directory: str
    name: str
    max_source_tokens: int
    max_target_tokens: int
    warm_up: DecodeSpec


class WorkerSpec(msgspec.Struct, frozen=True):
    """The configuration of a worker process, sent as its first message.

    Every checkpoint has its own batch of `max_rows` rows; 0 lets the worker choose.
    """

    checkpoints: list[CheckpointSpec]
    device: str
    compute_type: ComputeTypeChoice
    num_threads: int
    max_rows: int
    max_encode_tokens: int
    max_bulk_wait_seconds: float
    needs_fingerprint: bool
    gpu_memory_fraction: float
    """Of the memory that is free on a GPU after loading: how much the caches of this worker may take."""
    log_format: LogFormat
    log_level: LogLevel
    isa: Isa | None = None
    """None: the environment decides."""


class Work(msgspec.Struct, frozen=True):
    """One decode for a worker. While it waits for rows, `client` and `request_id` decide its turn.

    `client` is the name of an API key; empty without keys. `cost` is in expected tokens to generate, over all rows.

    Without streaming, all tokens are reported at the end. With `returns_encoder_output`, the encoder output is reported
    if the source had to be encoded.
    """

    decode_id: int
    client: str
    request_id: int
    cost: int
    spec: DecodeSpec
    priority: Priority
    is_streamed: bool
    returns_encoder_output: bool


class EncodedWork(Work, frozen=True):
    """`Work` as the service process sends it, with a spec that was encoded outside the event loop."""

    spec: msgspec.Raw  # type: ignore[assignment]


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Service to worker: decode these. `encoder_outputs` come from the cache, keyed by one decode of each source."""

    work: list[Work]
    encoder_outputs: dict[int, bytes] = {}


class EncodedSubmit(msgspec.Struct, frozen=True, tag="Submit"):
    """`Submit` as the service process sends it."""

    work: list[EncodedWork]
    encoder_outputs: dict[int, bytes] = {}


class Update(msgspec.Struct, frozen=True, tag=True):
    """Service to worker: a more urgent or a streaming request has joined this decode. Unknown ids are ignored."""

    decode_id: int
    priority: Priority
    is_streamed: bool


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Service to worker: these decodes have no subscribers. Unknown ids have ended already and are ignored."""

    decode_ids: list[int]


ToWorker = Submit | Update | Cancel


class CheckpointInfo(msgspec.Struct, frozen=True):
    """A checkpoint that a worker has loaded. `kv_bytes` is reserved for both caches over all rows, also express ones.

    Encoder outputs, of type `encoder_dtype`, are equal if fingerprint and compute type are equal. The fingerprint is
    empty if encoder outputs are not cached.
    """

    name: str
    device: str
    compute_type: ComputeType
    fingerprint: str
    encoder_dtype: EncoderDtype
    max_rows: int
    num_parameters: int
    kv_bytes: int
    isa: LoadedIsa = "none"
    """The instruction set of the kernels that compute it; `none`: torch does."""
    decoder_bias_by_distance: list[list[float]] | None = None
    """[H][distance]: the relative bias in M; None without relative positions."""

    def __str__(self) -> str:
        kernels = "torch" if self.isa == "none" else f"{self.isa} kernels"
        return f"{self.name} in {self.compute_type} on {self.device} by {kernels}, {self.max_rows} rows"


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Worker to service: all checkpoints are in memory and have decoded a sentence.

    `longest_turn_seconds` estimates the longest turn: as many tokens to encode as a turn may have.
    """

    checkpoints: list[CheckpointInfo]
    longest_turn_seconds: float


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """Worker to service: a checkpoint cannot be served; the worker exits."""

    detail: str


class SourceEncoded(msgspec.Struct, frozen=True, array_like=True):
    """The encoder output of a decode's source, [S, D] in the checkpoint's `encoder_dtype`, little-endian."""

    decode_id: int
    encoder_output: bytes


class StepStats(msgspec.Struct, frozen=True, array_like=True):
    """One turn of one checkpoint, for the metrics: seconds, rows and tokens.

    `decode_seconds` is the time of all `num_steps`, which are several if the batch ran ahead.
    """

    decode_seconds: float
    encode_seconds: float
    num_rows: int
    num_steps: int
    num_source_tokens: int
    num_padding_tokens: int


class StepReport(msgspec.Struct, frozen=True, tag=True):
    """Worker to service: the results of a turn, the rows in use after it, and the decodes that wait for rows."""

    started: list[Started]
    encoded: list[SourceEncoded]
    progress: list[Progress]
    failed: list[Failed]
    steps: list[StepStats]
    num_running: int
    num_free_rows: int
    num_waiting: int


FromWorker = Loaded | LoadFailed | StepReport
