"""What crosses between the service process and its workers: plain data, encoded as MessagePack by msgspec.

A `Sequence` is one sentence into one language. Each submitted sequence gets exactly one terminal event: a
`SequenceProgress` with hypotheses, or a `SequenceFailed`.
"""

from typing import Literal

import msgspec

from model.search.types import Hypothesis, SearchRequest, Token
from model.transformer.compute_types import ComputeType, ComputeTypeChoice, EncoderDtype, Isa
from service.observability.log import LogFormat, LogLevel

Priority = Literal["interactive", "bulk"]


class Sequence(msgspec.Struct, frozen=True):
    """One sentence into one language. `checkpoint` is the place of its checkpoint in the WorkerSpec.

    Of one that is not streamed, all tokens come with its end. What a cacheable one is encoded to may be kept.
    Equal ones, whatever their ids, have the same answer, for all draws are seeded.
    """

    request: SearchRequest
    checkpoint: int
    source_ids: tuple[int, ...]
    priority: Priority = "interactive"
    is_streamed: bool = True
    is_cacheable: bool = True

    @property
    def sequence_id(self) -> int:
        return self.request.sequence_id


class CheckpointSpec(msgspec.Struct, frozen=True):
    """A checkpoint to load, and the longest source and target that its caches must hold."""

    directory: str
    name: str
    max_source_tokens: int
    max_new_tokens: int


class WorkerSpec(msgspec.Struct, frozen=True):
    """All that a worker process has to know, sent as its first message.

    Each checkpoint has a batch of its own, of `max_rows` rows; 0 lets the worker choose. What a source of at least
    `min_cached_tokens` is encoded to comes back, if it may be kept; None: nothing does.
    """

    checkpoints: list[CheckpointSpec]
    device: str
    compute_type: ComputeTypeChoice
    num_threads: int
    max_rows: int
    max_encode_tokens: int
    max_bulk_wait_seconds: float
    min_cached_tokens: int | None
    log_format: LogFormat
    log_level: LogLevel
    isa: Isa | None = None
    """None: as the environment has it."""


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Service to worker: decode these. `encoder_outputs` has what the cache had, by a sequence of each source."""

    sequences: list[Sequence]
    encoder_outputs: dict[int, bytes] = {}


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Service to worker: nobody listens to these any more. Ids that are unknown or finished are ignored."""

    sequence_ids: list[int]


ToWorker = Submit | Cancel


class CheckpointInfo(msgspec.Struct, frozen=True):
    """What a worker has loaded. `kv_bytes` is reserved for both caches over all rows.

    Encoder outputs, of `encoder_dtype`, are the same numbers where the fingerprint and the compute type are the same.
    The fingerprint is empty where no encoder output is kept.
    """

    device: str
    compute_type: ComputeType
    fingerprint: str
    encoder_dtype: EncoderDtype
    max_rows: int
    num_parameters: int
    kv_bytes: int


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Worker to service: all checkpoints are in memory, in the order of the WorkerSpec."""

    checkpoints: list[CheckpointInfo]


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """Worker to service: the checkpoint cannot be served; the worker exits."""

    detail: str


class SequenceStarted(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A waiting sequence took a slot. `encoded` is false where the cache, or an equal source, had the output.

    `started_at` is in the time of the monotonic clock, 0 where somebody comes to a sequence that has started before;
    `encode_seconds` went by until all that started with it was encoded.
    """

    sequence_id: int
    queue_seconds: float
    encoded: bool
    started_at: float = 0.0
    encode_seconds: float = 0.0


class SequenceProgress(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What is new of one sequence; with `hypotheses`, best first, it has finished. Tokens are the best's."""

    sequence_id: int
    tokens: list[Token]
    hypotheses: tuple[Hypothesis, ...] = ()


class SequenceFailed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The sequence ended without a result."""

    sequence_id: int
    detail: str


class SourceEncoded(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What the source of that sequence was encoded to, [S, D] in the checkpoint's `encoder_dtype`, little-endian."""

    sequence_id: int
    encoder_output: bytes


SequenceEvent = SequenceStarted | SequenceProgress | SequenceFailed
"""What the submitter of a sequence is told."""
WorkerEvent = SequenceEvent | SourceEncoded


class StepStats(msgspec.Struct, frozen=True, array_like=True):
    """What one step of one checkpoint did, for the metrics: seconds, rows and tokens."""

    decode_seconds: float
    encode_seconds: float
    num_rows: int
    num_source_tokens: int
    num_padding_tokens: int


class StepReport(msgspec.Struct, frozen=True, tag=True):
    """Worker to service: everything that one step of each checkpoint brought, in order, and how the slots are now."""

    events: list[WorkerEvent]
    steps: list[StepStats]
    num_running: int
    num_free_slots: int


FromWorker = Loaded | LoadFailed | StepReport


def is_terminal(event: SequenceEvent) -> bool:
    """Whether `event` is the last one of its sequence."""
    match event:
        case SequenceProgress():
            return bool(event.hypotheses)
        case SequenceFailed():
            return True
        case SequenceStarted():
            return False
