"""The rules of one checkpoint's `generation_config.json`, as operations on the scores of all rows at once.

They apply in the order of `transformers` and to the same scores: logits in greedy search and sampling,
log-probabilities in beam search. A rule that applies to no row of a step costs nothing.
Shapes: B rows, N vocabulary, T tokens of the longest target so far, P token sequences.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.checkpoint.config import Checkpoint
from model.kernels.stacks import GreedyRules


class Place(Protocol):
    """The place of a row in its target. All lengths include the decoder prompt."""

    @property
    def length(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def prompt_length(self) -> int: ...


@dataclass(frozen=True, slots=True)
class History:
    """All decoder tokens of the rows: token_ids [B, T], valid up to `lengths` [B]."""

    token_ids: Tensor
    lengths: Tensor

    def last(self, num_tokens: int) -> Tensor:
        """The last tokens [B, num_tokens]; a shorter row repeats arbitrary tokens of its own."""
        places = self.lengths[:, None] - torch.arange(num_tokens, 0, -1, device=self.lengths.device)
        return self.token_ids.gather(1, places.clamp_(min=0))

    def own(self) -> Tensor:
        """[B, T] with a row's first token in all invalid places."""
        places = torch.arange(self.token_ids.shape[1], device=self.lengths.device)
        return torch.where(places < self.lengths[:, None], self.token_ids, self.token_ids[:, :1])


@dataclass(frozen=True, slots=True)
class BadWords:
    """Token sequences of one length: a row that ends in `starts` [P, m] must not continue with `ends` [P]."""

    starts: Tensor
    ends: Tensor


class LogitsRules:
    def __init__(self, checkpoint: Checkpoint, *, device: torch.device) -> None:
        self._device = device
        self._generation = generation = checkpoint.generation
        self._eos_token_id = checkpoint.config.eos_token_id
        single = [word[0] for word in generation.bad_words_ids if len(word) == 1]
        self._bad_tokens = self._index(single)
        self._bad_words = [
            BadWords(self._index([word[:-1] for word in words]), self._index([word[-1] for word in words]))
            for words in _by_length(word for word in generation.bad_words_ids if len(word) > 1)
        ]
        self._suppressed = self._index(generation.suppress_tokens)
        forbidden = {*single, *generation.suppress_tokens}
        self._forbidden = self._index(sorted(forbidden))
        self._forbidden_if_short = self._index(sorted(forbidden | {self._eos_token_id}))
        self._begin_suppressed = self._index(generation.begin_suppress_tokens)
        ends = {self._eos_token_id} if generation.min_length else set()
        self.forbidden_columns = self._index(sorted(forbidden | ends | {*generation.begin_suppress_tokens}))
        """The tokens that rules without a history may forbid in some row."""
        self.needs_history = bool(
            generation.repetition_penalty != 1 or generation.no_repeat_ngram_size or self._bad_words
        )

    def num_plain_steps(self, places: Sequence[Place], *, most: int) -> int:
        """The number of steps from now on, at most `most`, in which no rule acts except for those of `greedy`."""
        generation = self._generation
        begins = len(self._begin_suppressed) > 0 and any(map(self._begins, places))
        is_first = generation.forced_bos_token_id is not None and any(map(_is_first, places))
        if self.needs_history or begins or is_first:
            return 0
        if generation.forced_eos_token_id is None:
            return most
        return min(most, *(place.max_length - 1 - place.length for place in places))

    def greedy(self, places: Sequence[Place]) -> GreedyRules:
        """The rules that only forbid tokens, whatever was chosen before."""
        min_length = self._generation.min_length
        short = [max(0, min_length - place.length) for place in places] if min_length else [0] * len(places)
        return GreedyRules(self._forbidden, self._forbidden_if_short, self._index(short))

    def act(self, places: Sequence[Place]) -> bool:
        """Whether a rule may change a score in this step."""
        generation = self._generation
        return (
            self.needs_history
            or bool(len(self._bad_tokens) or len(self._suppressed))
            or self.rewrite(places)
            or (generation.min_length > 0 and any(place.length < generation.min_length for place in places))
            or (len(self._begin_suppressed) > 0 and any(map(self._begins, places)))
        )

    def rewrite(self, places: Sequence[Place]) -> bool:
        """Whether a rule does more than forbid tokens in this step."""
        generation = self._generation
        return (
            generation.repetition_penalty != 1
            or (generation.forced_bos_token_id is not None and any(map(_is_first, places)))
            or (generation.forced_eos_token_id is not None and any(map(_is_last, places)))
        )

    def apply(self, scores: Tensor, places: Sequence[Place], history: History | None) -> None:
        """Change scores [B, N] in place. Renormalizing them is left to the caller."""
        generation = self._generation
        if history is not None:
            _penalize_repetition(scores, history, generation.repetition_penalty)
            _ban_repeated_ngrams(scores, history, generation.no_repeat_ngram_size)
            for words in self._bad_words:
                _ban_words(scores, history, words)
        if len(self._bad_tokens):
            scores.index_fill_(1, self._bad_tokens, -torch.inf)
        if generation.min_length:
            self._end_not(scores, self._rows(places, lambda place: place.length < generation.min_length))
        if generation.forced_bos_token_id is not None:
            _force(scores, self._rows(places, _is_first), generation.forced_bos_token_id)
        if generation.forced_eos_token_id is not None:
            _force(scores, self._rows(places, _is_last), generation.forced_eos_token_id)
        if len(self._suppressed):
            scores.index_fill_(1, self._suppressed, -torch.inf)
        if len(self._begin_suppressed):
            rows = self._rows(places, self._begins)
            if rows is not None:
                scores[rows[:, None], self._begin_suppressed] = -torch.inf

    def _end_not(self, scores: Tensor, rows: Tensor | None) -> None:
        if rows is not None:
            scores[rows, self._eos_token_id] = -torch.inf

    def _begins(self, place: Place) -> bool:
        """Whether the next token is the first one to be chosen freely."""
        is_forced = place.prompt_length == 1 and self._generation.forced_bos_token_id is not None
        return place.length == place.prompt_length + is_forced

    def _rows(self, places: Sequence[Place], condition: Callable[[Place], bool]) -> Tensor | None:
        """Indices of the rows that meet the condition, None where none does."""
        rows = [index for index, place in enumerate(places) if condition(place)]
        return self._index(rows) if rows else None

    def _index(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


def _is_first(place: Place) -> bool:
    """Whether the next token follows a prompt of the start token alone."""
    return place.length == 1


def _is_last(place: Place) -> bool:
    """Whether the next token takes the last allowed place."""
    return place.length == place.max_length - 1


def _by_length(words: Iterable[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    groups: dict[int, list[tuple[int, ...]]] = {}
    for word in words:
        groups.setdefault(len(word), []).append(word)
    return list(groups.values())


def _penalize_repetition(scores: Tensor, history: History, penalty: float) -> None:
    """Divide positive scores of tokens in the history by `penalty`, and multiply negative ones by it (Keskar 2019)."""
    if penalty != 1:
        token_ids = history.own()
        values = scores.gather(1, token_ids)
        scores.scatter_(1, token_ids, torch.where(values < 0, values * penalty, values / penalty))


def _ban_repeated_ngrams(scores: Tensor, history: History, n: int) -> None:
    """Wherever the last n - 1 tokens occurred before, ban the token that followed them there."""
    if n and history.token_ids.shape[1] >= n:
        ngrams = history.token_ids.unfold(1, n, 1)  # [B, T - n + 1, n]
        matches = (ngrams[:, :, :-1] == history.last(n - 1)[:, None]).all(dim=2)
        ends = torch.arange(n - 1, history.token_ids.shape[1], device=scores.device)
        _ban(scores, ngrams[:, :, -1], matches & (ends < history.lengths[:, None]))


def _ban_words(scores: Tensor, history: History, words: BadWords) -> None:
    num_tokens = words.starts.shape[1]
    matches = (history.last(num_tokens)[:, None] == words.starts).all(dim=2)  # [B, P]
    _ban(scores, words.ends.expand(len(scores), -1), matches & (history.lengths >= num_tokens)[:, None])


def _ban(scores: Tensor, token_ids: Tensor, is_banned: Tensor) -> None:
    """token_ids [B, n] where is_banned [B, n]; a token may occur twice, once banned and once not."""
    ceiling = torch.where(is_banned, -torch.inf, torch.inf)
    scores.scatter_reduce_(1, token_ids, ceiling.to(scores.dtype), "amin")


def _force(scores: Tensor, rows: Tensor | None, token_id: int) -> None:
    """Give the token a score of 0, as a log-probability without cost, and all others -inf."""
    if rows is not None:
        scores[rows] = -torch.inf
        scores[rows, token_id] = 0.0
