"""Rows to tensors to chosen tokens: with `loading`, the only module of the service that knows torch.

It encodes sources, each once and those not at all that the cache had, and hands the rest to a
`DecodingBatch`.
Legend: S source tokens, D model width.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.decoding.batch import DecodingBatch, padded
from model.search.types import Progress
from model.transformer.compute_types import EncoderDtype
from model.transformer.kv_cache import KVCache
from service.engine.loading import LoadedCheckpoint
from service.engine.scheduler import Entry, Row, Source
from service.engine.slots import Move
from service.engine.types import CheckpointInfo, CheckpointSpec, WorkerSpec

MAX_AUTO_ROWS = 64
AUTO_KV_BYTES = 2**30
"""For the caches of all checkpoints of a worker together."""
MAX_PADDED = 1.25
MAX_PROMPT_TOKENS = 2
"""The longest decoder prompt: the start token and a language token."""
ENCODER_DTYPES: Mapping[torch.dtype, EncoderDtype] = MappingProxyType(
    {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
)


class Runner:
    """One checkpoint with its caches."""

    def __init__(self, loaded: LoadedCheckpoint, checkpoint: CheckpointSpec, spec: WorkerSpec) -> None:
        torch.set_num_threads(spec.num_threads)
        self._device = torch.device(spec.device)
        self.checkpoint = loaded.checkpoint
        self._transformer = loaded.transformer
        config = self.checkpoint.config
        dtype = self._transformer.kv_dtype
        max_target_tokens = min(checkpoint.max_new_tokens + MAX_PROMPT_TOKENS, config.max_positions)
        bytes_per_row = KVCache.bytes_per_row(
            config, max_target_tokens=max_target_tokens, max_source_tokens=checkpoint.max_source_tokens, dtype=dtype
        )
        kv_bytes = AUTO_KV_BYTES // len(spec.checkpoints)
        max_rows = spec.max_rows or max(1, min(MAX_AUTO_ROWS, kv_bytes // bytes_per_row))
        self._batch = DecodingBatch(
            self._transformer,
            self.checkpoint,
            max_rows=max_rows,
            max_source_tokens=checkpoint.max_source_tokens,
            max_target_tokens=max_target_tokens,
        )
        self.info = CheckpointInfo(
            device=str(self._device),
            compute_type=loaded.compute_type,
            fingerprint=loaded.fingerprint,
            encoder_dtype=ENCODER_DTYPES[self._transformer.encoder_dtype],
            max_rows=max_rows,
            num_parameters=self._transformer.num_parameters,
            kv_bytes=self._batch.cache.num_bytes,
        )

    @torch.inference_mode()
    def admit(self, entries: Sequence[Entry]) -> int:
        """Encode what nobody has encoded yet, fill the cross-attention cache and prefill the decoder prompts.

        The rows hold the last slots in use, in order. Returns the number of padding tokens that were encoded.
        """
        return sum(self._admit_group(group) for group in _by_length(entries))

    def _admit_group(self, entries: list[Entry]) -> int:
        sources = list(dict.fromkeys(entry.source for entry in entries))
        num_padding_tokens = self._encode([source for source in sources if source.encoded is None])
        index_of = {source: index for index, source in enumerate(sources)}
        self._batch.enter(
            _slot(entries[0].rows[0]),
            [entry.sequence.request for entry in entries],
            pad_sequence([self._encoded(source) for source in sources], batch_first=True),
            [len(source.ids) for source in sources],
            [index_of[entry.source] for entry in entries],
        )
        return num_padding_tokens

    def encoder_output(self, entry: Entry) -> bytes:
        """What the source of an admitted entry was encoded to: [S, D] in `encoder_dtype`."""
        return bytes(self._encoded(entry.source).cpu().contiguous().view(torch.uint8).numpy().data)

    def step(self, num_rows: int) -> list[Progress]:
        """Decode one token for each of the rows in slots 0..num_rows-1: what it brought to each sequence."""
        return self._batch.step(num_rows)

    def move(self, move: Move) -> None:
        """Carry a row's caches and state into the slot that became free."""
        self._batch.move(move.source, move.target)

    def _encode(self, sources: list[Source]) -> int:
        """Encode `sources` as one padded batch; each keeps its own [S, D]. Returns the number of padding tokens."""
        if not sources:
            return 0
        input_ids, lengths = padded(
            [source.ids for source in sources], pad_token_id=self.checkpoint.config.pad_token_id
        )
        encoder_hidden_states = self._transformer.encode(input_ids.to(self._device), lengths.to(self._device))
        for source, hidden_states in zip(sources, encoder_hidden_states, strict=True):
            # A copy: a view would keep the whole padded batch for as long as one of its sources lives.
            source.encoded = hidden_states[: len(source.ids)].clone()
        return input_ids.numel() - int(lengths.sum())

    def _encoded(self, source: Source) -> Tensor:
        """[S, D]; bytes that came from the cache become a tensor. Raises RuntimeError for another number of bytes."""
        if isinstance(source.encoded, bytes):
            flat = torch.frombuffer(bytearray(source.encoded), dtype=self._transformer.encoder_dtype)
            source.encoded = flat.view(len(source.ids), self.checkpoint.config.d_model).to(self._device)
        assert isinstance(source.encoded, Tensor), "an admitted source is encoded"
        return source.encoded


def _by_length(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries, sorted by source length, in groups that pad none of their sources by much more than a quarter."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if groups and len(entry.source.ids) <= MAX_PADDED * len(groups[-1][0].source.ids) + 4:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _slot(row: Row) -> int:
    assert row.slot is not None, "an admitted row has a slot"
    return row.slot
