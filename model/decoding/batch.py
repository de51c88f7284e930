"""The rows that decode side by side: their caches, where each of them stands, and the search for their next tokens.

Row i is in slot i; which rows enter, leave and move is the caller's to say. Where a row stands (last token, position,
source length) lies in one host tensor, so that a step is a fixed number of batched operations, whatever the number of
rows, and one copy back from the device.
Shapes: B rows, S source tokens, D model size, n sources.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.checkpoint.config import Checkpoint
from model.decoding.cuda_graphs import GraphedStep, cuda_graphs
from model.search.search import Search
from model.search.types import Progress, SearchRequest
from model.transformer.attention import CrossWeights
from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer

ALIGNMENT_LAYER = -1
"""The last decoder layer."""


class DecodingBatch:
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
        self._device = device = transformer.device
        self.cache = KVCache(
            checkpoint.config,
            max_rows=max_rows,
            max_target_tokens=max_target_tokens,
            max_source_tokens=max_source_tokens,
            dtype=transformer.kv_dtype,
            device=device,
            follows_origins=transformer.decoder_kernel is not None,
        )
        self._search = Search(checkpoint, max_rows=max_rows, max_target_tokens=max_target_tokens, device=device)
        # of each row: its last token, which is not in the cache yet, its place there, and the length of its source
        self._state = torch.zeros((3, max_rows), dtype=torch.int64, pin_memory=device.type == "cuda")
        self._graphed = GraphedStep(transformer, self.cache, cuda_graphs()) if device.type == "cuda" else None

    @torch.inference_mode()
    def enter(
        self,
        start: int,
        requests: Sequence[SearchRequest],
        encoder_hidden_states: Tensor,
        source_lengths: Sequence[int],
        source_of_request: Sequence[int],
    ) -> None:
        """Fill slots from `start` on: each request takes as many as it has beams.

        `encoder_hidden_states` [n, S, D] are padded at the end; `source_of_request` says which of the n is whose.
        """
        slot = start
        prompts: list[tuple[int, ...]] = []
        source_of_row: list[int] = []
        for request, source in zip(requests, source_of_request, strict=True):
            self._search.join(request, range(slot, slot + request.beam_size))
            slot += request.beam_size
            prompts += [request.decoder_prompt] * request.beam_size
            source_of_row += [source] * request.beam_size
        state = [[prompt[-1] for prompt in prompts], [len(prompt) - 1 for prompt in prompts]]
        self._state[:, start:slot] = torch.tensor([*state, [source_lengths[source] for source in source_of_row]])
        has_own_source = source_of_row == list(range(len(source_lengths)))
        self.cache.write_cross(
            start,
            self._transformer.cross_kv(encoder_hidden_states),
            None if has_own_source else torch.tensor(source_of_row, device=self._device),
        )
        self._prefill(start, slot, [prompt[:-1] for prompt in prompts])

    def _prefill(self, start: int, stop: int, prompts: list[tuple[int, ...]]) -> None:
        """Write K and V of all prompt tokens but the last, which the first step takes.

        Shorter prompts are padded on the right: what that writes lies past the row's own position, where it is hidden
        until a real token overwrites it.
        """
        num_tokens = max(map(len, prompts))
        if num_tokens == 0:
            return
        input_ids, _ = padded(prompts, pad_token_id=self._pad_token_id)
        source_lengths = self._state[2, start:stop]
        view = self.cache.view(start, stop, self_tokens=num_tokens, source_tokens=int(source_lengths.max()))
        positions = torch.zeros(stop - start, dtype=torch.int64)
        self._transformer.decode(
            self._to_device(input_ids), self._to_device(positions), self._to_device(source_lengths), view
        )

    @torch.inference_mode()
    def step(self, num_rows: int) -> list[Progress]:
        """Decode one token for each of the rows in slots 0..num_rows-1: what it brought to each sequence."""
        state = self._state[:, :num_rows]
        last_token_ids, positions, source_lengths = state
        sizes = {"self_tokens": int(positions.max()) + 1, "source_tokens": int(source_lengths.max())}
        aligned = self._search.aligned_slots(num_rows)
        weights = CrossWeights(ALIGNMENT_LAYER, self._to_device(torch.tensor(aligned))) if aligned else None
        if self._graphed is not None and weights is None:
            logits = self._graphed(state, **sizes)
        else:
            token_ids, places, lengths = self._to_device(state)
            view = self.cache.view(0, num_rows, **sizes)
            logits = self._transformer.decode_step(token_ids, places, lengths, view, weights)
        alignments = weights.weights[:, 0] if weights is not None and weights.weights is not None else None
        step = self._search.step(logits, alignments)
        last_token_ids.copy_(step.next_token_ids)
        positions += 1
        self.cache.reorder(
            [copy.target for copy in step.copies],
            [copy.source for copy in step.copies],
            self_tokens=sizes["self_tokens"],
        )
        return step.progress

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """The row in slot `source` goes on in slot `target`, whose own row has left."""
        _, position, source_length = self._state[:, source].tolist()
        self.cache.move(source, target, self_tokens=position, source_tokens=source_length)
        self._search.move(source, target)
        self._state[:, target] = self._state[:, source]

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


def padded(sequences: Sequence[Sequence[int]], *, pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Ids [B, T] padded at the end, and lengths [B], on the host."""
    ids = pad_sequence([torch.tensor(each, dtype=torch.int64) for each in sequences], True, pad_token_id)
    return ids, torch.tensor([len(each) for each in sequences])
