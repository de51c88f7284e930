"""The running batch: its rows, their caches and states, and the search for their next tokens.

    slots  [ r0 | r1 | r2 | r3 |    |    ]      max_rows = 6
             <---- running ---> <- free ->

A decode has `beam_size` rows. Running rows always fill slots 0..n-1 of the caches, so that a step works on a view of
them: new rows take the slots from n on, and when rows leave, the last rows move into the gaps. The state of a row
(last token, position, source length) is a column of one host tensor. A step is therefore a fixed number of batched
operations for any number of rows, and one copy back from the device. On a GPU the state is there too, greedy turns are
replayed, and the host reads each turn while the next one runs.
Shapes: B rows, S source tokens, D model size.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.checkpoint.config import Checkpoint
from model.cuda.device import device_runtime, step_kernels
from model.cuda.kernels import StepRules
from model.cuda.runtime import Runtime
from model.cuda.step import MAX_STEPS, DeviceStep
from model.decoding.inference import inference
from model.decoding.length_groups import length_groups
from model.search.beam_search import BeamSearch
from model.search.results import Progress
from model.search.search import Running, Search, aligned_slots
from model.search.spec import DecodeSpec
from model.transformer.attention import CrossWeights
from model.transformer.compute_types import EncoderDtype
from model.transformer.kv_cache import KVCache, RowMove, RowsOfSource
from model.transformer.transformer import Transformer
from model.transformer.upload import upload

ALIGNMENT_LAYER = -1
"""The last decoder layer provides the alignments."""
MAX_AUTO_ROWS = 64
"""On a CPU, more rows make a step longer without making tokens cheaper."""
MAX_AUTO_ROWS_ON_CUDA = 1024
"""A guess: not measured."""
MAX_TOKENS_AHEAD = 32
TOKENS_AHEAD_ON_CUDA = 8
"""A guess: not measured."""

ENCODER_DTYPES: Mapping[torch.dtype, EncoderDtype] = MappingProxyType(
    {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
)


class NewDecode(NamedTuple):
    decode_id: int
    spec: DecodeSpec
    encoder_hidden_states: Tensor
    """[S, D] in the transformer's `encoder_dtype`, a vector for each of the spec's `source_ids`."""


class EncodedSources(NamedTuple):
    hidden_states: list[Tensor]
    """[S, D] of each source, in the order given."""
    num_padding_tokens: int
    """Padding computed beside the sources' own tokens; always 0 with our own kernels."""


class Turn(NamedTuple):
    """Greedy steps that were started on a device."""

    rows: list[Running]
    """The decodes by slot, as they were then."""
    num_steps: int
    read: Callable[[], tuple[Tensor, Tensor]]
    """Wait for token ids and log-probabilities, [steps, B] each."""


class DecodingBatch:
    def __init__(
        self,
        transformer: Transformer,
        checkpoint: Checkpoint,
        *,
        max_rows: int,
        max_source_tokens: int,
        max_target_tokens: int,
        runtime: Runtime | None = None,
    ) -> None:
        """`max_target_tokens` includes the decoder prompt. `runtime` replays steps; by default on CUDA alone."""
        self._transformer = transformer
        self._config = checkpoint.config
        self._device = device = transformer.device
        self._cache = KVCache(
            checkpoint.config,
            max_rows=max_rows,
            max_target_tokens=max_target_tokens,
            max_source_tokens=max_source_tokens,
            dtype=transformer.kv_dtype,
            device=device,
            has_indirection=transformer.decoder_kernel is not None,
        )
        self._search = Search(checkpoint, max_rows=max_rows, max_target_tokens=max_target_tokens, device=device)
        self._running: dict[int, Running] = {}
        self._rows: list[Running] = []
        """The running decodes by slot."""
        self._state = torch.zeros((3, max_rows), dtype=torch.int64)
        """By slot: the last token, which is not in the cache yet, its position, and the length of the source."""
        self._numbers = self._state.numpy()
        """The same memory. On a few numbers NumPy takes a fraction of torch's time."""
        self._runtime = runtime or device_runtime(device)
        self._device_step = None if self._runtime is None else self._make_device_step(self._runtime, checkpoint)
        self._turn: Turn | None = None
        """The turn that runs on the device, to be read after the next one has been started."""

    @staticmethod
    def choose_max_rows(
        transformer: Transformer, *, max_source_tokens: int, max_target_tokens: int, kv_bytes: int
    ) -> int:
        """The number of rows whose caches fit into `kv_bytes`: from 1 to the device's `MAX_AUTO_ROWS`."""
        bytes_per_row = KVCache.bytes_per_row(
            transformer.config,
            max_target_tokens=max_target_tokens,
            max_source_tokens=max_source_tokens,
            dtype=transformer.kv_dtype,
        )
        most = MAX_AUTO_ROWS_ON_CUDA if transformer.device.type == "cuda" else MAX_AUTO_ROWS
        return max(1, min(most, kv_bytes // bytes_per_row))

    def _make_device_step(self, runtime: Runtime, checkpoint: Checkpoint) -> DeviceStep:
        greedy = self._search.greedy_rules([])
        rules = StepRules.of(
            greedy.forbidden,
            greedy.forbidden_if_short,
            vocab_size=self._config.decoder_vocab_size,
            min_length=checkpoint.generation.min_length,
        )
        kernels = step_kernels(self._device)
        return DeviceStep(self._transformer, self._cache, rules, kernels=kernels, runtime=runtime)

    @inference
    def record_steps(self) -> None:
        """Record the steps of all numbers of rows, where steps are replayed; otherwise it happens on first use."""
        if self._device_step is not None:
            self._device_step.record_all()

    @property
    def num_rows(self) -> int:
        return len(self._rows)

    @property
    def max_rows(self) -> int:
        return self._cache.max_rows

    @property
    def num_free_rows(self) -> int:
        return self.max_rows - self.num_rows

    @property
    def runs_behind(self) -> bool:
        """Whether the host reads a turn while a device runs the next one."""
        return self._device_step is not None

    @property
    def num_tokens_ahead(self) -> int:
        """How many tokens of a row are worth decoding at once.

        Our kernels stop as rows end. A GPU does not, but needs several: the host's work on a turn is to be done by the
        end of the next one.
        """
        return TOKENS_AHEAD_ON_CUDA if self.runs_behind else MAX_TOKENS_AHEAD

    @property
    def kv_bytes(self) -> int:
        """The size of the caches of all rows."""
        return self._cache.num_bytes

    @property
    def encoder_dtype(self) -> EncoderDtype:
        """The type of encoder outputs."""
        return ENCODER_DTYPES[self._transformer.encoder_dtype]

    @inference
    def encode(self, sources: Sequence[Sequence[int]]) -> EncodedSources:
        """Encode sources of token ids. Raises ValueError for an empty or too long source, or an unknown token id."""
        for source in sources:
            self._check_source(source)
        if not sources:
            return EncodedSources([], 0)
        if self._transformer.encoder_kernel is not None:
            return EncodedSources(self._transformer.encode_unpadded(sources), 0)
        encoded: dict[int, Tensor] = {}
        num_padding_tokens = 0
        for group in length_groups(range(len(sources)), lambda index: (len(sources[index]),)):
            input_ids = _padded([sources[index] for index in group], pad_token_id=self._config.pad_token_id)
            lengths = torch.tensor([len(sources[index]) for index in group])
            hidden_states = self._transformer.encode(self._to_device(input_ids), self._to_device(lengths))
            num_padding_tokens += input_ids.numel() - int(lengths.sum())
            for index, row in zip(group, hidden_states, strict=True):
                encoded[index] = row[: len(sources[index])].clone()  # a view would keep those of all sources alive
        return EncodedSources([encoded[index] for index in range(len(sources))], num_padding_tokens)

    @inference
    def fetch_encoder_outputs(self, encoder_hidden_states: Sequence[Tensor]) -> Callable[[], list[bytes]]:
        """Start copying encoder outputs [S, D] to the host, all at once.

        The returned function waits for the copy and returns the bytes of each, for the encoder cache.
        """
        if self._runtime is None:
            return lambda: list(map(_bytes, encoder_hidden_states))
        lengths = [len(each) for each in encoder_hidden_states]
        fetched = self._runtime.fetch(torch.cat(list(encoder_hidden_states)))
        return lambda: [_bytes(each) for each in torch.split(fetched(), lengths)]

    def encoder_output_tensor(self, data: bytes, num_tokens: int) -> Tensor:
        """The inverse of `fetch_encoder_outputs`: [S, D], S being `num_tokens`. Raises ValueError for another size."""
        shape, dtype = (num_tokens, self._config.d_model), self._transformer.encoder_dtype
        num_bytes = shape[0] * shape[1] * dtype.itemsize
        if len(data) != num_bytes:
            raise ValueError(f"an encoder output has {len(data)} bytes; {num_tokens} tokens have {num_bytes}")
        return self._to_device(torch.frombuffer(bytearray(data), dtype=dtype).view(shape))

    @inference
    def add(self, decodes: Sequence[NewDecode]) -> None:
        """Start decodes in `beam_size` rows each, and prefill their prompts.

        Raises ValueError if one of them is invalid or there are not enough free rows. After any exception none of them
        has been added.
        """
        if not decodes:
            return
        self._check(decodes)
        groups = [list(decodes)]
        if self._transformer.decoder_kernel is None:  # which computes no padding
            groups = length_groups(decodes, lambda new: (len(new.spec.decoder_prompt), len(new.spec.source_ids)))
        entering: list[Running] = []
        slot = self.num_rows
        for new in chain.from_iterable(groups):
            slots = range(slot, slot + new.spec.beam_size)
            entering.append(self._search.start(new.decode_id, new.spec, slots))
            slot = slots.stop
        # Slots past the current row count are free, so a failure below leaves the running rows intact.
        start = self.num_rows
        for group in groups:
            stop = start + _num_rows(group)
            self._write_sources(start, stop, group)
            self._prefill(start, stop, group)
            start = stop
        for running in entering:
            self._running[running.decode_id] = running
            self._rows += [running] * len(running.slots)

    def _check(self, decodes: Sequence[NewDecode]) -> None:
        num_rows = _num_rows(decodes)
        if num_rows > self.num_free_rows:
            raise ValueError(f"{num_rows} rows are needed, {self.num_free_rows} are free")
        ids = [new.decode_id for new in decodes]
        if len(set(ids)) < len(ids) or not self._running.keys().isdisjoint(ids):
            raise ValueError("a decode id is in use already")
        for _, spec, encoder_hidden_states in decodes:
            _check_ids("decoder_prompt", spec.decoder_prompt, self._config.decoder_vocab_size)
            self._check_source(spec.source_ids)
            if encoder_hidden_states.shape != (len(spec.source_ids), self._config.d_model):
                shape = [*encoder_hidden_states.shape]
                raise ValueError(f"encoder_hidden_states is {shape} for {len(spec.source_ids)} source tokens")

    def _check_source(self, source_ids: Sequence[int]) -> None:
        _check_ids("source_ids", source_ids, self._config.vocab_size)
        if len(source_ids) > self._cache.max_source_tokens:
            raise ValueError(f"source_ids has {len(source_ids)} tokens, more than {self._cache.max_source_tokens}")

    def _write_sources(self, start: int, stop: int, decodes: Sequence[NewDecode]) -> None:
        """Write K' and V', computed once a source, and the rows' state to slots start..stop-1."""
        states: list[tuple[int, int, int]] = []
        for _, spec, _ in decodes:
            state = (spec.decoder_prompt[-1], len(spec.decoder_prompt) - 1, len(spec.source_ids))
            states += [state] * spec.beam_size
        self._numbers[:, start:stop] = np.array(states).T
        if self._device_step is not None:
            self._device_step.write(start, self._state[:, start:stop])
        sources = {new.spec.source_ids: new.encoder_hidden_states for new in decodes}
        index_of = {source_ids: index for index, source_ids in enumerate(sources)}
        rows = [RowsOfSource(index_of[new.spec.source_ids], new.spec.beam_size) for new in decodes]
        if self._transformer.decoder_kernel is not None:
            self._write_cross_unpadded(start, stop, list(sources.values()), rows)
            return
        cross_kv = self._transformer.cross_kv(pad_sequence(list(sources.values()), batch_first=True))
        self._cache.write_cross(start, cross_kv, rows)

    def _write_cross_unpadded(
        self, start: int, stop: int, sources: Sequence[Tensor], rows: Sequence[RowsOfSource]
    ) -> None:
        source_of = self._cache.begin(start, rows)
        first_slots = {source: slot for slot, source in reversed(source_of.items())}
        view = self._cache.view(0, stop, self_tokens=0, source_tokens=max(each.shape[0] for each in sources))
        self._transformer.write_cross_kv(sources, [first_slots[each] for each in range(len(sources))], view.cross_kv)
        for slot, source in source_of.items():
            if slot != first_slots[source]:
                self._cache.copy_cross(first_slots[source], slot, source_tokens=len(sources[source]))

    def _prefill(self, start: int, stop: int, decodes: Sequence[NewDecode]) -> None:
        """Write K and V of the prompts to slots start..stop-1, except for the last token: the first step decodes it.

        With cache indirection, the rows of a beam search share K and V of its first row.
        """
        num_tokens = max(len(new.spec.decoder_prompt) for new in decodes) - 1
        if num_tokens == 0:
            return
        prompts: list[tuple[int, ...]] = []
        for _, spec, _ in decodes:
            prompt = spec.decoder_prompt[:-1]
            others = () if self._cache.has_indirection else prompt
            prompts += [prompt, *[others] * (spec.beam_size - 1)]
        source_tokens = max(len(new.spec.source_ids) for new in decodes)
        view = self._cache.view(start, stop, self_tokens=num_tokens, source_tokens=source_tokens)
        self._transformer.prefill(prompts, self._to_device(self._state[2, start:stop]), view)
        if self._cache.has_indirection:
            for _, spec, _ in decodes:
                if spec.beam_size > 1:
                    self._cache.share(start, start + spec.beam_size, self_tokens=len(spec.decoder_prompt) - 1)
                start += spec.beam_size

    @inference
    def step(self, *, max_tokens: int = 1, max_ended: int | None = None) -> list[Progress]:
        """Decode a token for every row and free the rows of finished decodes. Returns progress of every decode.

        Where our kernels or a GPU can run ahead, which takes plain greedy search in all rows, up to `max_tokens`
        tokens are decoded at once, or fewer by our kernels, until `max_ended` rows have ended (all, by default). They
        are the same tokens. A GPU works on the next ones meanwhile: the progress is that of the call before, at first
        none. After an exception the state of the running decodes is undefined: remove them.
        """
        if not self._rows:
            return []
        if self._device_step is not None:
            in_flight = 0 if self._turn is None else self._turn.num_steps
            num_steps = (
                self._search.num_plain_steps(
                    self._rows, most=in_flight + min(max_tokens, MAX_STEPS), with_alignment=False
                )
                - in_flight
            )
            if num_steps > 0:
                return self._start_turn(self._device_step, num_steps)
            if self._turn is not None:  # the host catches up, since this step needs what it knows
                return self._read_turn(None)
        if self._transformer.decodes_ahead:
            num_steps = self._search.num_plain_steps(self._rows, most=max_tokens, with_alignment=True)
            if num_steps:
                return self._step_ahead(num_steps, max_ended=min(max_ended or self.num_rows, self.num_rows))
        state = self._state[:, : self.num_rows]
        sizes = self._sizes(num_steps=1)
        weights = self._wanted_weights()
        if self._device_step is not None and weights is None:
            logits = self._device_step.logits(self.num_rows)
        else:
            token_ids, places, lengths = self._to_device(state)
            view = self._cache.view(0, self.num_rows, **sizes)
            logits = self._transformer.decode_step(token_ids, places, lengths, view, weights)
        alignments = weights.weights[:, 0] if weights is not None and weights.weights is not None else None
        step = self._search.step(self._rows, logits, alignments)
        state[0].copy_(step.next_token_ids)
        state[1] += 1
        self._cache.reorder(
            [copy.target for copy in step.copies],
            [copy.source for copy in step.copies],
            self_tokens=sizes["self_tokens"],
        )
        if self._device_step is not None:
            self._device_step.write(0, state)
        self._release(step.progress)
        return step.progress

    def _sizes(self, *, num_steps: int) -> dict[str, int]:
        """The tokens of the longest row and of the longest source after `num_steps` more steps."""
        _, positions, source_lengths = self._numbers[:, : self.num_rows]
        return {"self_tokens": int(positions.max()) + num_steps, "source_tokens": int(source_lengths.max())}

    def _start_turn(self, device_step: DeviceStep, num_steps: int) -> list[Progress]:
        turn = Turn(list(self._rows), num_steps, device_step.start_turn(self.num_rows, num_steps))
        self._state[1, : self.num_rows] += num_steps
        return self._read_turn(turn)

    def _read_turn(self, next_turn: Turn | None) -> list[Progress]:
        """Read the turn that was started before `next_turn`, if there is one."""
        turn, self._turn = self._turn, next_turn
        if turn is None:
            return []
        chosen, logprobs = turn.read()
        # What a row computed since its decode has left is dropped.
        live = [slot for slot, running in enumerate(turn.rows) if self._running.get(running.decode_id) is running]
        rows = [turn.rows[slot] for slot in live]
        self._state[0, [slot for running in rows for slot in running.slots]] = chosen[-1, live].long()
        return self._advance_ahead(rows, chosen[:, live], logprobs[:, live])

    def _wanted_weights(self) -> CrossWeights | None:
        aligned = aligned_slots(self._rows)
        return CrossWeights(ALIGNMENT_LAYER, self._to_device(torch.tensor(aligned))) if aligned else None

    def _step_ahead(self, num_steps: int, *, max_ended: int) -> list[Progress]:
        token_ids, positions, source_lengths = self._state[:, : self.num_rows]
        view = self._cache.view(0, self.num_rows, **self._sizes(num_steps=num_steps))
        weights = self._wanted_weights()
        chosen, logprobs = self._transformer.decode_ahead(
            token_ids,
            positions,
            source_lengths,
            view,
            rules=self._search.greedy_rules(self._rows),
            num_steps=num_steps,
            max_ended=max_ended,
            cross_weights=weights,
        )
        numbers = self._numbers[:, : self.num_rows]
        numbers[0] = chosen[-1]
        numbers[1] += len(chosen)
        return self._advance_ahead(self._rows, chosen, logprobs, None if weights is None else weights.weights)

    def _advance_ahead(
        self, rows: Sequence[Running], chosen: Tensor, logprobs: Tensor, alignments: Tensor | None = None
    ) -> list[Progress]:
        """Pass the tokens of plainly greedy steps, [steps, B] each, to their decodes, and release the finished ones.

        `alignments` [n, steps, S] are those of the n decodes that want them.
        """
        progress: list[Progress] = []
        rest = iter(() if alignments is None else alignments.tolist())
        for running, row_ids, row_logprobs in zip(rows, chosen.T.tolist(), logprobs.T.tolist(), strict=True):
            assert not isinstance(running, BeamSearch), "beams take single steps"
            row_alignments = next(rest) if running.spec.with_alignment else None
            progress.append(self._search.advance_ahead(running, row_ids, row_logprobs, row_alignments))
        self._release(progress)
        return progress

    def _release(self, progress: Sequence[Progress]) -> None:
        """Free the rows of the decodes that have ended."""
        for each in progress:
            if each.problem:  # the next row in this slot must not read numbers that are not finite
                self._cache.clear(self._running[each.decode_id].slots)
        self.remove(each.decode_id for each in progress if each.is_last)

    @inference
    def remove(self, decode_ids: Iterable[int]) -> None:
        """Free the rows of these decodes. Ids of decodes that are not running are ignored."""
        leaving = [self._running.pop(each) for each in set(decode_ids) if each in self._running]
        if not leaving:
            return
        freed = {slot for running in leaving for slot in running.slots}
        num_left = self.num_rows - len(freed)
        targets = sorted(slot for slot in freed if slot < num_left)
        sources = [slot for slot in range(num_left, self.num_rows) if slot not in freed]
        moves: list[RowMove] = []
        for source, target in zip(sources, targets, strict=True):
            self._rows[source].move(source, target)
            self._rows[target] = self._rows[source]
            _, position, source_length = self._numbers[:, source].tolist()
            self._numbers[:, target] = self._numbers[:, source]
            moves.append(RowMove(source, target, position, source_length))
        del self._rows[num_left:]
        self._cache.move(moves)
        self._search.move(sources, targets)
        if self._device_step is not None and moves:
            self._device_step.move(sources, targets)

    def _to_device(self, tensor: Tensor) -> Tensor:
        return upload(tensor, self._device)


def _bytes(tensor: Tensor) -> bytes:
    """The bytes of a dense tensor on the host."""
    return bytes(tensor.view(torch.uint8).numpy().data)


def _num_rows(decodes: Iterable[NewDecode]) -> int:
    return sum(new.spec.beam_size for new in decodes)


def _check_ids(name: str, token_ids: Sequence[int], vocab_size: int) -> None:
    """Raises ValueError."""
    if not token_ids:
        raise ValueError(f"{name} is empty")
    if min(token_ids) < 0 or max(token_ids) >= vocab_size:
        raise ValueError(f"{name} has a token outside the vocabulary of {vocab_size}")


def _padded(sequences: Sequence[Sequence[int]], *, pad_token_id: int) -> Tensor:
    """Token ids [B, T], padded at the end, on the host."""
    return pad_sequence([torch.tensor(each, dtype=torch.int64) for each in sequences], True, pad_token_id)
