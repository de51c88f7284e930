"""Choose the next tokens of a running batch, with greedy, sampled and beam rows side by side.

Decodes enter and leave at any step. A step is a fixed number of operations on the logits of all rows, one copy to the
host, and a few plain numbers for each decode there. Row i of the logits belongs to the decode in slot i; the batch
assigns the slots. Leaving rows need no call: slots past the current row count are stale and will be overwritten.
Shapes: B rows, N vocabulary, S sampled rows, R slots, T decoder tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor

from model.checkpoint.config import Checkpoint
from model.kernels.stacks import GreedyRules
from model.search.beam_search import BeamSearch, Continuation, Copy, best_continuations
from model.search.blockwise import BlockwiseScores, Choices, blocks_of, first_argmax
from model.search.goal import Goal, Target
from model.search.logits_rules import History, LogitsRules
from model.search.results import Details, Progress, Token
from model.search.sampling import Draw, perturb
from model.search.spec import DecodeSpec


@dataclass(frozen=True, slots=True)
class SearchStep:
    """The result of one step. Carry out its copies before rows move and before the next step."""

    progress: list[Progress]
    """The progress of every running decode, in the order of their first slots."""
    next_token_ids: Tensor
    """[B] int64 on the host, by slot; arbitrary for rows whose decode has finished."""
    copies: list[Copy]
    """For `KVCache.reorder`: no slot is both a source and a target, and no slot is a target twice."""


class SingleSearch:
    """One running decode, greedy or sampled, in one row."""

    __slots__ = ("decode_id", "goal", "slot", "target")

    def __init__(self, decode_id: int, goal: Goal, slot: int) -> None:
        self.decode_id = decode_id
        self.goal = goal
        self.slot = slot
        self.target = Target()

    @property
    def spec(self) -> DecodeSpec:
        return self.goal.spec

    @property
    def slots(self) -> list[int]:
        return [self.slot]

    def move(self, source: int, target: int) -> None:
        if self.slot == source:
            self.slot = target

    def advance(
        self, token_ids: Sequence[int], logprobs: Sequence[float], details: Sequence[Details | None]
    ) -> Progress:
        """Take tokens, one after the other; those past the end are dropped."""
        target, goal = self.target, self.goal
        tokens: list[Token] = []
        for token_id, logprob, its_details in zip(token_ids, logprobs, details, strict=True):
            tokens.append(target.append(token_id, logprob, its_details))
            reason = goal.finish_reason(target.token_ids)
            goal.length += 1
            if reason is not None:
                score = goal.normalized(sum(target.logprobs), goal.length)
                return Progress(self.decode_id, tokens, (target.finished(score, reason),))
        return Progress(self.decode_id, tokens)


Running = SingleSearch | BeamSearch


class Search:
    """The rules of one checkpoint, and the tokens so far of the rows that they apply to."""

    def __init__(self, checkpoint: Checkpoint, *, max_rows: int, max_target_tokens: int, device: torch.device) -> None:
        self._checkpoint = checkpoint
        self._device = device
        self._max_target_tokens = max_target_tokens
        self._rules = LogitsRules(checkpoint, device=device)
        self._forbidden_blocks = blocks_of(self._rules.forbidden_columns)
        self._every_row = torch.arange(max_rows, device=device)
        size = (max_rows, max_target_tokens) if self._rules.needs_history else (0, 0)
        self._history = torch.zeros(size, dtype=torch.int64, device=device)

    def start(self, decode_id: int, spec: DecodeSpec, slots: Sequence[int]) -> Running:
        """Start `spec` in `beam_size` free slots, whose caches will hold the same source and prompt.

        Raises ValueError for a prompt that leaves no room for a token, and for a target that may become too long.
        """
        config = self._checkpoint.config
        goal = Goal(spec, self._checkpoint.generation, eos_token_id=config.eos_token_id)
        if goal.max_length > self._max_target_tokens:
            raise ValueError(f"the target may have {goal.max_length} tokens; the limit is {self._max_target_tokens}")
        assert len(slots) == spec.beam_size, "a decode needs a slot for each beam"
        if self._rules.needs_history:
            prompt = torch.tensor(spec.decoder_prompt, device=self._device)
            self._history[self._index(slots), : len(prompt)] = prompt
        return SingleSearch(decode_id, goal, slots[0]) if spec.beam_size == 1 else BeamSearch(decode_id, goal, slots)

    def greedy_rules(self, rows: Sequence[Running]) -> GreedyRules:
        """The rules of plainly greedy steps of these rows."""
        return self._rules.greedy([row.goal for row in rows])

    def num_plain_steps(self, rows: Sequence[Running], *, most: int, with_alignment: bool) -> int:
        """The number of steps from now on, at most `most`, that are plainly greedy for all rows.

        In these, every row takes the most probable token that `greedy_rules` allow, within its maximum length. Rows
        may want alignments if these steps are taken `with_alignment`.
        """
        for row in rows:
            if isinstance(row, BeamSearch) or row.spec.sampling is not None or row.spec.num_top_tokens:
                return 0
            if row.spec.with_alignment and not with_alignment:
                return 0
        goals = [row.goal for row in rows]
        most = min(most, *(goal.max_length - goal.length for goal in goals))
        return self._rules.num_plain_steps(goals, most=most)

    def advance_ahead(
        self,
        row: SingleSearch,
        token_ids: Sequence[int],
        logprobs: Sequence[float],
        alignments: Sequence[Sequence[float]] | None = None,
    ) -> Progress:
        """Take the tokens of several plainly greedy steps; tokens past the end are dropped.

        `alignments` [T, S] are the cross-attention weights of the tokens, if the row's decode wants them.
        """
        details: list[Details | None] = [None] * len(token_ids)
        if alignments is not None:
            details = [Details(alignment=_alignment(row, weights)) for weights in alignments]
        progress = row.advance(token_ids, logprobs, details)
        # Beyond the end they are arbitrary.
        return self._not_finite(row) if isnan(sum(logprobs[: len(progress.tokens)])) else progress

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Move rows from the slots `sources` to the slots `targets`. No slot is in both."""
        if self._rules.needs_history and targets:
            self._history[self._index(targets)] = self._history[self._index(sources)]

    def step(self, rows: Sequence[Running], logits: Tensor, alignments: Tensor | None = None) -> SearchStep:
        """Choose from logits [B, N], which may be overwritten. `rows` [B] are the decodes in slots 0..B-1.

        `alignments` [n, S] are the cross-attention weights of the n `aligned_slots` in the same step.
        """
        assert len(rows) == len(logits), "the rows of logits and decodes differ"
        sampled = [row for row in rows if isinstance(row, SingleSearch) and row.spec.sampling is not None]
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
            drawn = first_argmax(perturb(ruled.scores[sampled_rows], [_draw(row) for row in sampled]))
            token_ids.index_copy_(0, sampled_rows, drawn)
        if sampled or ruled is not choices:
            logprobs = choices.logprobs(self._every_row[: len(rows)], token_ids)
        else:
            logprobs = choices.largest - choices.normalizers
        chosen = [token_ids, logprobs]
        for group in groups.values():
            chosen += best_continuations(ruled, choices, group)
        return self._advance(rows, groups, chosen + details)

    def _ruled(self, choices: Choices, rows: Sequence[Running]) -> Choices:
        """The choices after the rules of this step.

        Rules that only forbid tokens write to the logits themselves, since a forbidden token is never looked up
        afterwards. Rules that change other scores work on a copy; for beams, on log-probabilities. Renormalized scores
        are logits with normalizers of their own. It changes no choice but those of beams.
        """
        goals, rules, generation = [row.goal for row in rows], self._rules, self._checkpoint.generation
        if not rules.act(goals):
            return choices
        slots = [slot for slot, row in enumerate(rows) if isinstance(row, BeamSearch)]
        renormalizes = generation.renormalize_logits and bool(slots)
        if not rules.rewrite(goals):
            rules.apply(choices.scores, goals, self._history_of(rows))
            if renormalizes:
                return Choices.of(choices.scores)
            if rules.needs_history:
                return Choices.among(BlockwiseScores.of(choices.scores), choices.normalizers)
            return choices.lowered(self._forbidden_blocks)
        scores = choices.scores.clone()
        # What renormalizes has to give a row the same bits in the steps in which another row is not forced.
        if slots and not (renormalizes and generation.repetition_penalty == 1):
            beam_rows = self._index(slots)
            scores[beam_rows] -= choices.normalizers[beam_rows, None]
        rules.apply(scores, goals, self._history_of(rows))
        return Choices.of(scores) if renormalizes else Choices.of_logprobs(scores)

    def _top_tokens(self, choices: Choices, rows: Sequence[Running]) -> list[Tensor]:
        """Token ids and probabilities [n, k] of the n rows that want them; k is the largest number wanted."""
        wanting = [slot for slot, row in enumerate(rows) if row.spec.num_top_tokens]
        if not wanting:
            return []
        k = min(max(rows[slot].spec.num_top_tokens for slot in wanting), choices.scores.shape[1])
        groups = self._index(wanting)[:, None]
        normalizers = choices.normalizers[groups]
        best = choices.blockwise.top_k_of_groups(groups, normalizers, torch.zeros_like(normalizers), k)
        return [best.columns, best.values.exp()]

    def _advance(
        self, rows: Sequence[Running], groups: dict[int, list[BeamSearch]], chosen: list[Tensor]
    ) -> SearchStep:
        """The part on the host: fetch `chosen` in one copy and advance each decode."""
        host = iter(_to_host(chosen))
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
                if isnan(logprobs[slot]):
                    progress.append(self._not_finite(row))
                else:
                    progress.append(row.advance([next_token_ids[slot]], [logprobs[slot]], [details.get(slot)]))
                continue
            if any(isnan(each.score) or isnan(each.logprob) for each in continuations[row]):
                progress.append(self._not_finite(row))
                continue
            own = [details[slot] for slot in row.slots] if row.spec.wants_details else None
            row_progress, row_copies = row.advance(continuations[row], own)
            progress.append(row_progress)
            copies += row_copies
            if not row_progress.hypotheses:
                for beam in row.beams:
                    next_token_ids[beam.slot] = beam.target.token_ids[-1]
        step = SearchStep(progress, torch.tensor(next_token_ids), copies)
        if self._rules.needs_history:
            self._remember(rows, step)
        return step

    def _not_finite(self, row: Running) -> Progress:
        """End a row whose logits or normalizer are NaN, because its activations are not finite."""
        problem = (
            f"checkpoint {self._checkpoint.name} computes numbers that are not finite: its weights are damaged, "
            "or too large for this compute type"
        )
        return Progress(row.decode_id, [], problem=problem)

    def _history_of(self, rows: Sequence[Running]) -> History | None:
        if not self._rules.needs_history:
            return None
        lengths = [row.goal.length for row in rows]
        return History(self._history[: len(rows), : max(lengths)], self._index(lengths))

    def _remember(self, rows: Sequence[Running], step: SearchStep) -> None:
        if step.copies:
            targets, sources = (self._index(slots) for slots in zip(*step.copies, strict=True))
            self._history[targets] = self._history[sources]
        places = self._index([row.goal.length - 1 for row in rows])
        self._history[self._index(range(len(rows))), places] = step.next_token_ids.to(self._device)

    def _index(self, values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.int64, device=self._device)


def aligned_slots(rows: Sequence[Running]) -> list[int]:
    """The slots whose decodes want alignments, in order; `rows` are the decodes in slots 0..B-1."""
    return [slot for slot, row in enumerate(rows) if row.spec.with_alignment]


def _draw(row: SingleSearch) -> Draw:
    assert row.spec.sampling is not None, "this row is not sampled"
    return Draw(row.spec.sampling, step=len(row.target.token_ids))


def _details(rows: Sequence[Running], host: Iterator[Tensor]) -> dict[int, Details]:
    """The details of each slot whose decode wants some; in `host` they follow the choices."""
    details = {slot: Details() for slot, row in enumerate(rows) if row.spec.wants_details}
    wanting = [slot for slot in details if rows[slot].spec.num_top_tokens]
    if wanting:
        for slot, *columns in zip(wanting, next(host).tolist(), next(host).tolist(), strict=True):
            top_tokens = tuple(zip(*columns, strict=True))[: rows[slot].spec.num_top_tokens]
            details[slot] = details[slot]._replace(top_tokens=top_tokens)
    wanting = [slot for slot in details if rows[slot].spec.with_alignment]
    if wanting:
        for slot, weights in zip(wanting, next(host).tolist(), strict=True):
            details[slot] = details[slot]._replace(alignment=_alignment(rows[slot], weights))
    return details


def _alignment(row: Running, weights: Sequence[float]) -> tuple[float, ...]:
    """The weights of a row without the batch's padding."""
    return tuple(weights[: len(row.spec.source_ids)])


def _to_host(tensors: list[Tensor]) -> list[Tensor]:
    """Copy all tensors at once. A float64 holds every float32 and every token id exactly."""
    if tensors[0].device.type == "cpu":
        return tensors
    packed = torch.cat([tensor.flatten().double() for tensor in tensors]).cpu()
    parts = packed.split_with_sizes([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]
