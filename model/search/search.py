"""The next tokens of a running batch: greedy, sampled and beam rows side by side, joining and leaving at any step.

A step is a fixed number of operations on the logits of all rows, one copy to the host, and a few plain numbers a
sequence there. Rows are known by their slots in the caches, which are kept compact: slot i is row i of the logits, and
when a row leaves, the last one moves into its slot (`move`). Nothing has to be said of rows that leave: slots from the
number of rows on are forgotten, and those that are joined or moved into are taken over.
Shapes: B rows, N vocabulary, S sampled rows, R slots, T decoder tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.checkpoint.config import Checkpoint
from model.search.beam_search import BeamSearch, Continuation, Copy, best_continuations
from model.search.blockwise import Choices, first_argmax
from model.search.logits_rules import History, LogitsRules
from model.search.sampling import Draw, perturb
from model.search.types import Details, Goal, Progress, SearchRequest, Target


@dataclass(frozen=True, slots=True)
class SearchStep:
    """What came of one step. The copies go before the moves of rows that leave, and then the next step may run."""

    progress: list[Progress]
    """Of every running sequence, in the order of their first slots."""
    next_token_ids: Tensor
    """[B] int64 on the host, by slot; of rows whose sequence has finished, anything."""
    copies: list[Copy]
    """For `KVCache.reorder`: no slot is both a source and a target, and none a target twice."""


class SingleSearch:
    """One greedy or sampled sequence: one row."""

    __slots__ = ("goal", "slot", "target")

    def __init__(self, goal: Goal, slot: int) -> None:
        self.goal = goal
        self.slot = slot
        self.target = Target()

    @property
    def request(self) -> SearchRequest:
        return self.goal.request

    def move(self, source: int, target: int) -> None:
        if self.slot == source:
            self.slot = target

    def advance(self, token_id: int, logprob: float, details: Details | None) -> Progress:
        target, goal = self.target, self.goal
        token = target.append(token_id, logprob, details)
        reason = goal.finish_reason(target.token_ids)
        goal.length += 1
        if reason is None:
            return Progress(goal.request.sequence_id, [token])
        score = goal.normalized(sum(target.logprobs), goal.length)
        return Progress(goal.request.sequence_id, [token], (target.finished(score, reason),))


Row = SingleSearch | BeamSearch


class Search:
    """The rows of one worker and the rules of its checkpoint."""

    def __init__(self, checkpoint: Checkpoint, *, max_rows: int, max_target_tokens: int, device: torch.device) -> None:
        self._checkpoint = checkpoint
        self._device = device
        self._rules = LogitsRules(checkpoint, device=device)
        self._rows: list[Row | None] = [None] * max_rows
        self._every_row = torch.arange(max_rows, device=device)
        size = (max_rows, max_target_tokens) if self._rules.needs_history else (0, 0)
        self._history = torch.zeros(size, dtype=torch.int64, device=device)

    def join(self, request: SearchRequest, slots: Sequence[int]) -> None:
        """Start `request` in `beam_size` slots, whose caches hold the same source and prompt.

        Raises ValueError for a prompt that leaves no room.
        """
        config = self._checkpoint.config
        goal = Goal(request, self._checkpoint.generation, eos_token_id=config.eos_token_id)
        assert len(slots) == request.beam_size, "a sequence takes as many slots as it has beams"
        row = SingleSearch(goal, slots[0]) if request.beam_size == 1 else BeamSearch(goal, slots)
        for slot in slots:
            self._rows[slot] = row
        if self._rules.needs_history:
            prompt = torch.tensor(request.decoder_prompt, device=self._device)
            self._history[self._index(slots), : len(prompt)] = prompt

    def move(self, source: int, target: int) -> None:
        """The row in slot `source` goes on in slot `target`, whose own row has left."""
        row = self._rows[source]
        assert row is not None, "an empty slot was moved"
        row.move(source, target)
        self._rows[target] = row
        if self._rules.needs_history:
            self._history[target] = self._history[source]

    def aligned_slots(self, num_rows: int) -> list[int]:
        """Of slots 0..num_rows-1, those whose sequences ask for alignments, in order."""
        return [
            slot for slot, row in enumerate(self._rows[:num_rows]) if row is not None and row.request.with_alignment
        ]

    def step(self, logits: Tensor, alignments: Tensor | None = None) -> SearchStep:
        """Choose from logits [B, N] of the rows in slots 0..B-1. They may be overwritten.

        `alignments` [n, S] are the cross-attention weights, in the step of these logits, of the n `aligned_slots`.
        """
        rows = [row for row in self._rows[: len(logits)] if row is not None]
        assert len(rows) == len(logits), "a row of logits belongs to no sequence"
        sampled = [row for row in rows if isinstance(row, SingleSearch) and row.request.sampling is not None]
        groups: dict[int, list[BeamSearch]] = {}
        for search in dict.fromkeys(row for row in rows if isinstance(row, BeamSearch)):
            groups.setdefault(len(search.beams), []).append(search)

        choices = Choices.of(logits.float())
        details = self._top_tokens(choices, rows)
        if alignments is not None:
            details.append(alignments.float())
        ruled = self._ruled(choices, rows)
        token_ids = ruled.token_ids
        if sampled:
            sampled_rows = self._index(row.slot for row in sampled)
            drawn = first_argmax(perturb(ruled.blocks.scores[sampled_rows], [_draw(row) for row in sampled]))
            token_ids.index_copy_(0, sampled_rows, drawn)
        if sampled or ruled is not choices:
            logprobs = choices.logprobs(self._every_row[: len(rows)], token_ids)
        else:
            logprobs = choices.largest - choices.normalizers
        results = [token_ids, logprobs]
        for group in groups.values():
            results += best_continuations(ruled, choices, group)
        results += details
        return self._advance(rows, groups, results)

    def _ruled(self, choices: Choices, rows: list[Row]) -> Choices:
        """What is to be chosen from under the rules of this step.

        Rules that only forbid tokens do so in the logits themselves: what was forbidden is never asked for. Rules that
        put other numbers leave them alone: they change a copy, or of beams the log-probabilities.
        """
        goals = [row.goal for row in rows]
        if not self._rules.act(goals):
            return choices
        if not self._rules.rewrite(goals):
            self._rules.apply(choices.blocks.scores, goals, self._history_of(rows), beam_rows=None)
            return replace(Choices.of(choices.blocks.scores), normalizers=choices.normalizers)
        scores, beam_rows = choices.blocks.scores.clone(), None
        slots = [slot for slot, row in enumerate(rows) if isinstance(row, BeamSearch)]
        if slots:
            beam_rows = self._index(slots)
            scores[beam_rows] -= choices.normalizers[beam_rows, None]
        self._rules.apply(scores, goals, self._history_of(rows), beam_rows=beam_rows)
        return Choices.of_logprobs(scores)

    def _top_tokens(self, choices: Choices, rows: list[Row]) -> list[Tensor]:
        """Token ids and probabilities [asked, k] for the rows that ask, k being the most that any asks for."""
        asking = [slot for slot, row in enumerate(rows) if row.request.num_top_tokens]
        if not asking:
            return []
        k = min(max(rows[slot].request.num_top_tokens for slot in asking), choices.blocks.scores.shape[1])
        groups = self._index(asking)[:, None]
        normalizers = choices.normalizers[groups]
        best = choices.blocks.best_of_groups(groups, normalizers, torch.zeros_like(normalizers), k)
        return [best.columns, best.values.exp()]

    def _advance(self, rows: list[Row], groups: dict[int, list[BeamSearch]], results: list[Tensor]) -> SearchStep:
        """The host's part: what the results, copied over at once, mean for each sequence."""
        host = iter(_to_host(results))
        next_token_ids, logprobs = next(host).tolist(), next(host).tolist()
        continuations: dict[BeamSearch, list[Continuation]] = {}
        for group in groups.values():
            columns = zip(*(next(host).tolist() for _ in range(4)), strict=True)
            for search, column in zip(group, columns, strict=True):
                continuations[search] = [Continuation(*values) for values in zip(*column, strict=True)]
        details = _details(rows, host)
        progress, copies = [], []
        for row in dict.fromkeys(rows):
            if isinstance(row, SingleSearch):
                slot = row.slot
                progress.append(row.advance(next_token_ids[slot], logprobs[slot], details.get(slot)))
                continue
            asked = [details[beam.slot] for beam in row.beams] if row.request.wants_details else None
            moved, row_copies = row.advance(continuations[row], asked)
            progress.append(moved)
            copies += row_copies
            if not moved.hypotheses:
                for beam in row.beams:
                    next_token_ids[beam.slot] = beam.target.token_ids[-1]
        step = SearchStep(progress, torch.tensor(next_token_ids), copies)
        if self._rules.needs_history:
            self._remember(rows, step)
        return step

    def _history_of(self, rows: list[Row]) -> History | None:
        if not self._rules.needs_history:
            return None
        lengths = [row.goal.length for row in rows]
        return History(self._history[: len(rows), : max(lengths)], self._index(lengths))

    def _remember(self, rows: list[Row], step: SearchStep) -> None:
        if step.copies:
            targets, sources = (self._index(slots) for slots in zip(*step.copies, strict=True))
            self._history[targets] = self._history[sources]
        places = self._index([row.goal.length - 1 for row in rows])
        self._history[self._index(range(len(rows))), places] = step.next_token_ids.to(self._device)

    def _index(self, values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.int64, device=self._device)


def _draw(row: SingleSearch) -> Draw:
    assert row.request.sampling is not None, "a row that is not sampled was drawn"
    return Draw(row.request.sampling, step=len(row.target.token_ids))


def _details(rows: Sequence[Row], host: Iterator[Tensor]) -> dict[int, Details]:
    """What is left in `host` after the choices, for each slot that asks for some of it."""
    details = {slot: Details() for slot, row in enumerate(rows) if row.request.wants_details}
    asking = [slot for slot in details if rows[slot].request.num_top_tokens]
    if asking:
        for slot, *columns in zip(asking, next(host).tolist(), next(host).tolist(), strict=True):
            top_tokens = tuple(zip(*columns, strict=True))[: rows[slot].request.num_top_tokens]
            details[slot] = details[slot]._replace(top_tokens=top_tokens)
    asking = [slot for slot in details if rows[slot].request.with_alignment]
    if asking:
        for slot, weights in zip(asking, next(host).tolist(), strict=True):
            details[slot] = details[slot]._replace(alignment=tuple(weights))
    return details


def _to_host(tensors: list[Tensor]) -> list[Tensor]:
    """One copy for all. A float64 holds every float32 and every token id."""
    if tensors[0].device.type == "cpu":
        return tensors
    packed = torch.cat([tensor.flatten().double() for tensor in tensors]).cpu()
    parts = packed.split_with_sizes([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]
