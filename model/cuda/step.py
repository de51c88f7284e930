"""The decode step over static memory, recorded for a few numbers of rows and then replayed.

    state   [ token ids | positions | source lengths | places ]     one column a slot
    results [ turn 0: steps x (ids, log-probabilities) | turn 1: ... ]
    logits  [ of the last step that was not greedy ]                one row a slot

A greedy step reads the state, writes K and V, chooses, notes its choice in the results, and replaces the state with
that of the next step, so that several replays in a row need nothing from the host. Other searches replay the part up
to the logits and write the next state themselves.

A batch uses the smallest recorded number of rows that holds it. The rows beyond it are free slots: they start each
turn as rows of one token, step along within their own caches, nothing reads them, and a new row overwrites them.
Shapes: B rows, R slots, N vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model.cuda.decoder import StepDecoder
from model.cuda.kernels import StepKernels, StepRules, StepState
from model.cuda.runtime import Runtime
from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer
from model.transformer.upload import upload

MAX_STEPS = 32
"""The most steps of a turn."""
NUM_TURNS = 2
"""Turns whose results have room: one that runs, and one that the host has yet to read."""
FINEST_ROWS = 64
"""Recorded numbers of rows: powers of two up to here, and multiples of it."""


class DeviceStep:
    def __init__(
        self, transformer: Transformer, cache: KVCache, rules: StepRules, *, kernels: StepKernels, runtime: Runtime
    ) -> None:
        self._decoder = StepDecoder(transformer, kernels)
        self._cache = cache
        self._rules = rules
        self._kernels = kernels
        self._runtime = runtime
        self._device = device = transformer.device
        self._state = torch.zeros((4, cache.max_rows), dtype=torch.int64, device=device)
        self._state[2] = 1  # attention over no source tokens would be NaN
        self._results = torch.zeros((NUM_TURNS * MAX_STEPS, 2, cache.max_rows), dtype=torch.int32, device=device)
        # Of a row that has not begun: attention over it reads next to nothing.
        self._free = torch.tensor([[0], [0], [1]]).to(device)
        # Static, because a recording that owned its logits would keep them beside those of all others.
        self._logits = torch.empty((cache.max_rows, len(rules.flags)), dtype=transformer.dtype, device=device)
        self._next_turn = 0
        self._greedy: dict[int, Callable[[], None]] = {}
        self._forward: dict[int, Callable[[], None]] = {}

    def record_all(self) -> None:
        """Record the steps of all numbers of rows."""
        sizes = {self._num_recorded(num_rows) for num_rows in range(1, self._cache.max_rows + 1)}
        for size in sorted(sizes, reverse=True):  # the largest first, so that the others fit into its memory
            self._greedy_replay(size)
            self._forward_replay(size)

    def write(self, start: int, state: Tensor) -> None:
        """`state` [3, B] on the host: last token ids, positions and source lengths of slots from `start` on."""
        self._state[:3, start : start + state.shape[1]].copy_(upload(state, self._device), non_blocking=True)

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Move rows between slots. No slot is both a source and a target."""
        source_index, target_index = upload(torch.tensor([sources, targets]), self._device)
        self._state.index_copy_(1, target_index, self._state.index_select(1, source_index))

    def logits(self, num_rows: int) -> Tensor:
        """The logits [B, N] of the first rows, overwritten by the next step. The state stays as it is."""
        size = self._num_recorded(num_rows)
        replay = self._forward_replay(size)
        self._reset_free(num_rows, size)
        replay()
        return self._logits[:num_rows]

    def start_turn(self, num_rows: int, num_steps: int) -> Callable[[], tuple[Tensor, Tensor]]:
        """Start greedy steps, at most `MAX_STEPS`, of the first rows.

        The returned function waits for them and returns token ids [steps, B] and log-probabilities [steps, B] on the
        host. Call it before the turn after the next one is started.
        """
        assert num_steps <= MAX_STEPS, "the results of a turn have no more room"
        first = self._next_turn * MAX_STEPS
        self._next_turn = (self._next_turn + 1) % NUM_TURNS
        self._state[3].fill_(first)
        size = self._num_recorded(num_rows)
        replay = self._greedy_replay(size)
        self._reset_free(num_rows, size)
        for _ in range(num_steps):
            replay()
        wait = self._runtime.fetch(self._results[first : first + num_steps])

        def read() -> tuple[Tensor, Tensor]:
            results = wait()[:, :, :num_rows]
            return results[:, 0], results[:, 1].view(torch.float32)

        return read

    def _reset_free(self, num_rows: int, size: int) -> None:
        """Let no free slot of a recorded size go on from where its last row, or the turn before, has left it."""
        if num_rows < size:
            self._state[:3, num_rows:size] = self._free

    def _num_recorded(self, num_rows: int) -> int:
        """The smallest recorded number of rows that is at least `num_rows`."""
        if num_rows <= FINEST_ROWS:
            recorded = 1 << (num_rows - 1).bit_length()
        else:
            recorded = -(-num_rows // FINEST_ROWS) * FINEST_ROWS
        return min(recorded, self._cache.max_rows)

    def _greedy_replay(self, size: int) -> Callable[[], None]:
        if size not in self._greedy:
            state = self._state.clone()  # a recording may take steps; what they write to the caches is written again
            self._greedy[size] = self._runtime.record(lambda: self._step(size))
            self._state.copy_(state)
        return self._greedy[size]

    def _forward_replay(self, size: int) -> Callable[[], None]:
        if size not in self._forward:
            self._forward[size] = self._runtime.record(lambda: self._write_logits(size))
        return self._forward[size]

    def _step(self, size: int) -> None:
        token_ids, positions, source_lengths, places = self._state[:, :size]
        state = StepState(
            token_ids,
            positions,
            source_lengths,
            places,
            chosen=self._results[:, 0],
            logprobs=self._results[:, 1].view(torch.float32),
            last_position=self._cache.max_target_tokens - 1,
        )
        self._kernels.choose(self._decode(size), self._rules, state)

    def _write_logits(self, size: int) -> None:
        self._logits[:size].copy_(self._decode(size))

    def _decode(self, size: int) -> Tensor:
        """The logits [B, N] of the state."""
        token_ids, positions, source_lengths, _ = self._state[:, :size]
        cache = self._cache
        view = cache.view(0, size, self_tokens=cache.max_target_tokens, source_tokens=cache.max_source_tokens)
        return self._decoder(token_ids, positions, source_lengths, view)
