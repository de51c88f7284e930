"""Rows to tensors to chosen tokens: the only module of the service that knows torch.

State by slot (last token, position, source length) lies in host tensors beside the caches, so that a step
is a fixed number of batched operations, whatever the number of rows, and one copy back from the device.
Legend: B rows, S source tokens, T decoder tokens, D model width, N vocabulary, R slots.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model import kernels
from model.attention import CrossWeights
from model.checkpoint import load_transformer
from model.compute_types import ComputeType
from model.config import Checkpoint, read_checkpoint
from model.generate import ALIGNMENT_LAYER
from model.graphed_step import GraphedStep, cuda_graphs
from model.kv_cache import KVCache
from model.linear import fastest_compute_type
from model.search import Search
from model.search_types import Progress
from model.transformer import Transformer
from service.engine.scheduler import Entry, Row, Source
from service.engine.slots import Move
from service.engine.types import CheckpointInfo, CheckpointSpec, WorkerSpec

logger = logging.getLogger(__name__)

MAX_AUTO_ROWS = 64
AUTO_KV_BYTES = 2**30
"""For the caches of all checkpoints of a worker together."""
MAX_PADDED = 1.25
MAX_PROMPT_TOKENS = 2
"""The longest decoder prompt: the start token and a language token."""


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    checkpoint: Checkpoint
    compute_type: ComputeType
    transformer: Transformer


def load_checkpoint(checkpoint: CheckpointSpec, spec: WorkerSpec, *, num_threads: int) -> LoadedCheckpoint:
    """Raises CheckpointError, and RuntimeError where the device cannot be had."""
    torch.set_num_threads(num_threads)
    device = torch.device(spec.device)
    read = read_checkpoint(Path(checkpoint.directory), name=checkpoint.name)
    compute_type = fastest_compute_type(read.config, device) if spec.compute_type == "auto" else spec.compute_type
    if compute_type == "int8" and not kernels.is_available():
        logger.warning("int8 goes through oneDNN, which is slower: our kernels were not built, or need AVX512-VNNI")
    return LoadedCheckpoint(read, compute_type, load_transformer(read, compute_type=compute_type, device=device))


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
        self._cache = KVCache(
            config,
            max_rows=max_rows,
            max_target_tokens=max_target_tokens,
            max_source_tokens=checkpoint.max_source_tokens,
            dtype=dtype,
            device=self._device,
            follows_origins=self._transformer.decoder_kernel is not None,
        )
        self._search = Search(
            self.checkpoint, max_rows=max_rows, max_target_tokens=max_target_tokens, device=self._device
        )
        self._state = torch.zeros((3, max_rows), dtype=torch.long, pin_memory=self._device.type == "cuda")
        self._last_token_ids, self._positions, self._source_lengths = self._state
        self._graphed = None
        if self._device.type == "cuda":
            self._graphed = GraphedStep(self._transformer, self._cache, cuda_graphs())
        self.info = CheckpointInfo(
            device=str(self._device),
            compute_type=loaded.compute_type,
            max_rows=max_rows,
            num_parameters=self._transformer.num_parameters,
            kv_bytes=self._cache.num_bytes,
        )

    @torch.inference_mode()
    def admit(self, entries: Sequence[Entry]) -> int:
        """Encode what is not encoded yet, fill the cross-attention cache and prefill the decoder prompts.

        The rows hold the last slots in use, in order. Returns the number of padding tokens that were encoded.
        """
        return sum(self._admit_group(group) for group in _by_length(entries))

    def _admit_group(self, entries: list[Entry]) -> int:
        sources = list(dict.fromkeys(entry.source for entry in entries))
        num_padding_tokens = self._encode([source for source in sources if source.encoded is None])
        cross_kv = self._transformer.cross_kv(pad_sequence([_encoded(source) for source in sources], batch_first=True))
        rows = [row for entry in entries for row in entry.rows]
        start, stop = _slot(rows[0]), _slot(rows[0]) + len(rows)
        indices = None
        if len(rows) > len(sources):
            index_of = {source: index for index, source in enumerate(sources)}
            indices = self._to_device(torch.tensor([index_of[row.entry.source] for row in rows]))
        self._cache.write_cross(start, cross_kv, indices)

        prompts = [row.entry.sequence.request.decoder_prompt for row in rows]
        self._last_token_ids[start:stop] = torch.tensor([prompt[-1] for prompt in prompts])
        self._positions[start:stop] = torch.tensor([len(prompt) - 1 for prompt in prompts])
        self._source_lengths[start:stop] = torch.tensor([len(row.entry.source.ids) for row in rows])
        for entry in entries:
            self._search.join(entry.sequence.request, [_slot(row) for row in entry.rows])
        self._prefill(start, stop, [prompt[:-1] for prompt in prompts])
        return num_padding_tokens

    @torch.inference_mode()
    def step(self, num_rows: int) -> list[Progress]:
        """Decode one token for each of the rows in slots 0..num_rows-1: what it brought to each sequence."""
        positions, source_lengths = self._positions[:num_rows], self._source_lengths[:num_rows]
        self_tokens, source_tokens = int(positions.max()) + 1, int(source_lengths.max())
        aligned = self._search.aligned_slots(num_rows)
        weights = CrossWeights(ALIGNMENT_LAYER, self._to_device(torch.tensor(aligned))) if aligned else None
        if self._graphed is not None and weights is None:
            logits = self._graphed(self._state[:, :num_rows], self_tokens=self_tokens, source_tokens=source_tokens)
        else:
            view = self._cache.view(0, num_rows, self_tokens=self_tokens, source_tokens=source_tokens)
            token_ids, places, lengths = self._to_device(self._state[:, :num_rows])
            logits = self._transformer.decode_step(token_ids, places, lengths, view, weights)
        alignments = weights.weights[:, 0] if weights is not None and weights.weights is not None else None
        step = self._search.step(logits, alignments)
        self._last_token_ids[:num_rows] = step.next_token_ids
        positions += 1
        self._cache.reorder(
            [copy.target for copy in step.copies], [copy.source for copy in step.copies], self_tokens=self_tokens
        )
        return step.progress

    @torch.inference_mode()
    def move(self, move: Move) -> None:
        """Carry a row's caches and state into the slot that became free."""
        self._cache.move(
            move.source,
            move.target,
            self_tokens=int(self._positions[move.source]) + 1,
            source_tokens=int(self._source_lengths[move.source]),
        )
        self._search.move(move.source, move.target)
        self._state[:, move.target] = self._state[:, move.source]

    def _encode(self, sources: list[Source]) -> int:
        """Encode `sources` as one padded batch; each keeps its own [S, D]. Returns the number of padding tokens."""
        if not sources:
            return 0
        pad_token_id = self.checkpoint.config.pad_token_id
        lengths = torch.tensor([len(source.ids) for source in sources])
        input_ids = pad_sequence(
            [torch.tensor(source.ids) for source in sources], batch_first=True, padding_value=pad_token_id
        )
        encoder_hidden_states = self._transformer.encode(self._to_device(input_ids), self._to_device(lengths))
        for source, hidden_states in zip(sources, encoder_hidden_states, strict=True):
            # A copy: a view would keep the whole padded batch for as long as one of its sources lives.
            source.encoded = hidden_states[: len(source.ids)].clone()
        return input_ids.numel() - int(lengths.sum())

    def _prefill(self, start: int, stop: int, prompts: list[tuple[int, ...]]) -> None:
        """Write K and V of all prompt tokens but the last, which the first step takes.

        Shorter prompts are padded on the right: what that writes lies past the row's own position, where the causal
        mask hides it until a real token overwrites it.
        """
        num_tokens = max(len(prompt) for prompt in prompts)
        if num_tokens == 0:
            return
        pad_token_id = self.checkpoint.config.pad_token_id
        input_ids = torch.tensor([[*prompt, *[pad_token_id] * (num_tokens - len(prompt))] for prompt in prompts])
        source_lengths = self._source_lengths[start:stop]
        view = self._cache.view(start, stop, self_tokens=num_tokens, source_tokens=int(source_lengths.max()))
        self._transformer.decode(
            self._to_device(input_ids),
            self._to_device(torch.zeros(stop - start, dtype=torch.long)),
            self._to_device(source_lengths),
            view,
        )

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


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


def _encoded(source: Source) -> Tensor:
    assert isinstance(source.encoded, Tensor), "an admitted source is encoded"
    return source.encoded
