"""Beam search with the semantics of `transformers`: K live hypotheses (beams), each with a row of its own.

Tensor operations find the 2K best continuations of all searches of one size at once. The rest is a few numbers a
search, on the host. An ended continuation among the K best becomes a finished hypothesis, and the K best of these are
kept. The K best other continuations become the next beams. The search is over when no beam is left (at the maximum
length), or when K hypotheses have finished and either `early_stopping` is true or the best beam's score is not above
that of the K-th finished one. Its score is taken under the length penalty of its current length ("never" with a
positive penalty: of the maximum length).

The repetition guard ends a continuation just as the end token does: it becomes a finished hypothesis with its own score
and the reason `repetition`, and the next best continuation takes its place. The other beams go on.

Streaming: the final best hypothesis is the best finished one or descends from a live beam, so the tokens that all of
these share are certain. Live beams no longer count once none can beat the best finished hypothesis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from model.search.blockwise import Choices
from model.search.goal import Goal, Target
from model.search.results import Details, FinishReason, Hypothesis, Progress, Token
from model.search.spec import DecodeSpec

DEAD = -1.0e9
"""Added, as in `transformers`, to the score of a beam that is only a placeholder."""


class Continuation(NamedTuple):
    """A beam and its next token. `beam` counts from the best beam; `score` is a sum of log-probabilities."""

    score: float
    beam: int
    token_id: int
    logprob: float


@dataclass(slots=True)
class Beam:
    slot: int
    score: float
    target: Target = field(default_factory=Target)


class Finished(NamedTuple):
    score: float
    reason: FinishReason
    target: Target

    def hypothesis(self, *, with_details: bool) -> Hypothesis:
        return self.target.finished(self.score, self.reason, with_details=with_details)


class Copy(NamedTuple):
    """An order to copy the self-attention cache of slot `source` to slot `target`."""

    target: int
    source: int


class BeamSearch:
    """One running decode. `beams` are ordered best first; their slots need not be neighbours."""

    __slots__ = ("beams", "decode_id", "finished", "goal", "num_certain")

    def __init__(self, decode_id: int, goal: Goal, slots: Sequence[int]) -> None:
        self.decode_id = decode_id
        self.goal = goal
        self.beams = [Beam(slot, score=0.0 if index == 0 else DEAD) for index, slot in enumerate(slots)]
        self.finished: list[Finished] = []
        self.num_certain = 0

    @property
    def spec(self) -> DecodeSpec:
        return self.goal.spec

    @property
    def slots(self) -> list[int]:
        return [beam.slot for beam in self.beams]

    def move(self, source: int, target: int) -> None:
        for beam in self.beams:
            if beam.slot == source:
                beam.slot = target
                return

    def advance(
        self, continuations: Sequence[Continuation], details: Sequence[Details] | None
    ) -> tuple[Progress, list[Copy]]:
        """Take a step with the best continuations, best first, and the details of each beam if the spec wants them."""
        goal, size = self.goal, len(self.beams)
        length = goal.length + 1
        live: list[tuple[Continuation, Target]] = []
        dead: list[tuple[Continuation, Target]] = []
        for rank, continuation in enumerate(continuations):
            if rank >= size and len(live) == size:
                break
            own = None if details is None else details[continuation.beam]
            parent = self.beams[continuation.beam].target
            target = parent.extended(continuation.token_id, continuation.logprob, own)
            reason = goal.finish_reason(target.token_ids)
            if reason is None:
                live.append((continuation, target))
                continue
            dead.append((continuation._replace(score=continuation.score + DEAD), target))
            if rank < size:
                self.finished.append(Finished(goal.normalized(continuation.score, length), reason, target))
        self.finished.sort(key=_score, reverse=True)
        del self.finished[size:]
        goal.length = length
        if not live:
            return self._end(), []
        copies = self._replace_beams((live + dead)[:size])
        if self._is_over():
            return self._end(), []
        return Progress(self.decode_id, self._newly_certain()), copies

    def _replace_beams(self, chosen: Sequence[tuple[Continuation, Target]]) -> list[Copy]:
        """A beam's first child keeps its slot. The other children take the slots of beams without children."""
        parents = [continuation.beam for continuation, _ in chosen]
        unused = [beam.slot for index, beam in enumerate(self.beams) if index not in parents]
        beams, copies = [], []
        for index, (continuation, target) in enumerate(chosen):
            slot = self.beams[continuation.beam].slot
            if continuation.beam in parents[:index]:
                copies.append(Copy(target=unused.pop(), source=slot))
                slot = copies[-1].target
            beams.append(Beam(slot, continuation.score, target))
        self.beams = beams
        return copies

    def _is_over(self) -> bool:
        if len(self.finished) < len(self.beams):
            return False
        goal = self.goal
        to_the_end = goal.early_stopping == "never" and goal.length_penalty > 0
        best_possible = goal.normalized(self.beams[0].score, goal.max_length if to_the_end else goal.length)
        return goal.early_stopping is True or best_possible <= self.finished[-1].score

    def _end(self) -> Progress:
        """The last progress: the tokens that were not certain yet, and the hypotheses."""
        best = self.finished[0].target
        rest = [best.token(index) for index in range(self.num_certain, len(best.token_ids))]
        hypotheses = [
            finished.hypothesis(with_details=rank > 0)
            for rank, finished in enumerate(self.finished[: self.spec.num_hypotheses])
        ]
        return Progress(self.decode_id, rest, tuple(hypotheses))

    def _newly_certain(self) -> list[Token]:
        """The tokens not yet sent that all possible winners share."""
        targets = self._contenders()
        start, end = self.num_certain, min(len(target.token_ids) for target in targets)
        first = targets[0]
        for index in range(start, end):
            token_id = first.token_ids[index]
            if any(target.token_ids[index] != token_id for target in targets):
                break
            self.num_certain += 1
        return [first.token(index) for index in range(start, self.num_certain)]

    def _contenders(self) -> list[Target]:
        """The possible winners. No log-probability is positive, so a beam's score bounds those of its descendants."""
        live = [beam.target for beam in self.beams if beam.score > DEAD / 2]
        if not self.finished:
            return live
        goal, best = self.goal, self.finished[0]
        most_favourable = goal.max_length if goal.length_penalty > 0 else goal.length + 1
        if best.score >= goal.normalized(self.beams[0].score, most_favourable):
            return [best.target]
        return [best.target, *live]


def best_continuations(ruled: Choices, choices: Choices, searches: Sequence[BeamSearch]) -> list[Tensor]:
    """The best continuations of searches of one size K: scores, beams, token ids and log-probabilities, all [G, 2K].

    `choices` are the choices before the rules, `ruled` those after them.
    """
    device = choices.normalizers.device
    rows = torch.tensor([search.slots for search in searches], device=device)
    running = torch.tensor([[beam.score for beam in search.beams] for search in searches], device=device)
    # In this order a score has the same bits whether other rows make the rules act on scores or on log-probabilities.
    best = ruled.blockwise.top_k_of_groups(rows, ruled.normalizers[rows], running, 2 * rows.shape[1])
    logprobs = choices.logprobs(rows.gather(1, best.members), best.columns)
    return [best.values, best.members, best.columns, logprobs]


def _score(finished: Finished) -> float:
    return finished.score
