"""An offline running batch: search over `KVCache`, with sequences that join as others leave.

It does what an engine does, in the plainest way, for evaluation, benchmarks and tests.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.attention import CrossWeights
from model.config import Checkpoint
from model.kv_cache import KVCache
from model.search import Search
from model.search_types import Hypothesis, Progress, SearchRequest
from model.transformer import Transformer

ALIGNMENT_LAYER = -1
"""The last decoder layer."""


class RunningBatch:
    """Row i is in slot i of the caches."""

    def __init__(
        self,
        transformer: Transformer,
        checkpoint: Checkpoint,
        *,
        max_rows: int,
        max_source_tokens: int,
        max_target_tokens: int,
    ) -> None:
        """`max_target_tokens` counts the decoder prompt too."""
        self._transformer = transformer
        self._pad_token_id = checkpoint.config.pad_token_id
        self._device = transformer.device
        self._max_rows = max_rows
        self._sequence_ids: list[int] = []  # of each row
        self._cache = KVCache(
            checkpoint.config,
            max_rows=max_rows,
            max_target_tokens=max_target_tokens,
            max_source_tokens=max_source_tokens,
            dtype=transformer.kv_dtype,
            device=self._device,
            follows_origins=transformer.decoder_kernel is not None,
        )
        # of each row: its last token, which is not in the cache yet, its place there, and the length of its source
        self._state = torch.zeros((3, max_rows), dtype=torch.int64)
        self._search = Search(checkpoint, max_rows=max_rows, max_target_tokens=max_target_tokens, device=self._device)

    @property
    def num_rows(self) -> int:
        return len(self._sequence_ids)

    @property
    def num_free_rows(self) -> int:
        return self._max_rows - len(self._sequence_ids)

    @torch.inference_mode()
    def join(self, requests: Sequence[SearchRequest], sources: Sequence[Sequence[int]]) -> None:
        """Encode the sources as one batch, and prefill the decoder prompts but for their last tokens."""
        input_ids, lengths = self._padded(sources)
        encoder_hidden_states = self._transformer.encode(input_ids, lengths)
        start = len(self._sequence_ids)
        source_of_row: list[int] = []
        for index, request in enumerate(requests):
            slots = range(len(self._sequence_ids), len(self._sequence_ids) + request.beam_size)
            self._search.join(request, slots)
            self._sequence_ids += [request.sequence_id] * request.beam_size
            source_of_row += [index] * request.beam_size
        prompts = [requests[index].decoder_prompt for index in source_of_row]
        places = [[prompt[-1], len(prompt) - 1] for prompt in prompts]
        self._state[:2, start : self.num_rows] = torch.tensor(places).t()
        self._state[2, start : self.num_rows] = torch.tensor([len(sources[index]) for index in source_of_row])
        source_index = torch.tensor(source_of_row, device=self._device)
        cross_kv = self._transformer.cross_kv(encoder_hidden_states)
        self._cache.write_cross(start, cross_kv, source_index if len(source_of_row) > len(sources) else None)

        prompt_ids, _ = self._padded(prompts)
        num_tokens = prompt_ids.shape[1] - 1
        if num_tokens:
            # A padding token lies past its row's own position, hidden until a real token overwrites it.
            view = self._cache.view(start, self.num_rows, self_tokens=num_tokens, source_tokens=input_ids.shape[1])
            positions = torch.zeros(len(prompt_ids), dtype=torch.int64, device=self._device)
            self._transformer.decode(prompt_ids[:, :-1], positions, lengths[source_index], view)

    @torch.inference_mode()
    def step(self) -> list[Progress]:
        """One token for every row; the rows of sequences that finish are free at once."""
        num_rows = self.num_rows
        state = self._state[:, :num_rows]
        _, positions, source_lengths = state
        self_tokens, source_tokens = int(positions.max()) + 1, int(source_lengths.max())
        aligned = self._search.aligned_slots(num_rows)
        weights = CrossWeights(ALIGNMENT_LAYER, self._tensor(aligned)) if aligned else None
        view = self._cache.view(0, num_rows, self_tokens=self_tokens, source_tokens=source_tokens)
        token_ids, places, lengths = state.to(self._device)
        logits = self._transformer.decode_step(token_ids, places, lengths, view, weights)
        alignments = weights.weights[:, 0] if weights is not None and weights.weights is not None else None
        step = self._search.step(logits, alignments)
        self._state[0, :num_rows] = step.next_token_ids
        positions += 1
        self._cache.reorder(
            [copy.target for copy in step.copies], [copy.source for copy in step.copies], self_tokens=self_tokens
        )
        self.leave(progress.sequence_id for progress in step.progress if progress.hypotheses)
        return step.progress

    @torch.inference_mode()
    def leave(self, sequence_ids: Iterable[int]) -> None:
        """Free the rows of these sequences: from the last on down, the last row moves into the place of each."""
        leaving = set(sequence_ids)
        for slot in reversed(range(self.num_rows)):
            if self._sequence_ids[slot] in leaving:
                sequence_id, last = self._sequence_ids.pop(), self.num_rows
                if slot < last:
                    _, position, source_length = self._state[:, last].tolist()
                    self._cache.move(last, slot, self_tokens=position, source_tokens=source_length)
                    self._search.move(last, slot)
                    self._sequence_ids[slot] = sequence_id
                    self._state[:, slot] = self._state[:, last]

    def _padded(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids [B, T] padded at the end, and lengths [B]."""
        ids = pad_sequence(
            [torch.tensor(sequence) for sequence in sequences], batch_first=True, padding_value=self._pad_token_id
        )
        return ids.to(self._device), self._tensor([len(sequence) for sequence in sequences])

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, device=self._device)


def generate(
    transformer: Transformer,
    checkpoint: Checkpoint,
    requests: Sequence[SearchRequest],
    sources: Sequence[Sequence[int]],
    *,
    max_rows: int = 64,
    on_step: Callable[[list[Progress]], None] | None = None,
) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of each request over its source, best first. Sequences join, longest source first, as others end.

    Each request needs a `sequence_id` of its own. Sequences wait until a quarter of the rows is free, so that their
    sources are encoded several at once. `on_step` is given what each step brought, with a Progress for every running
    sequence.
    """
    if not requests:
        return []
    batch = RunningBatch(
        transformer,
        checkpoint,
        max_rows=max(max_rows, *(request.beam_size for request in requests)),
        max_source_tokens=max(map(len, sources)),
        max_target_tokens=max(_max_target_tokens(request, checkpoint) for request in requests),
    )
    results: dict[int, tuple[Hypothesis, ...]] = {}
    waiting = sorted(range(len(requests)), key=lambda index: len(sources[index]))
    while waiting or batch.num_rows:
        joining: list[int] = []
        free = batch.num_free_rows
        if batch.num_rows and free < max_rows // 4:
            free = 0
        while waiting and requests[waiting[-1]].beam_size <= free:
            joining.append(waiting.pop())
            free -= requests[joining[-1]].beam_size
        if joining:
            batch.join([requests[index] for index in joining], [sources[index] for index in joining])
        step = batch.step()
        results |= {progress.sequence_id: progress.hypotheses for progress in step if progress.hypotheses}
        if on_step is not None:
            on_step(step)
    return [results[request.sequence_id] for request in requests]


def _max_target_tokens(request: SearchRequest, checkpoint: Checkpoint) -> int:
    return min(len(request.decoder_prompt) + request.max_new_tokens, checkpoint.generation.max_length)
