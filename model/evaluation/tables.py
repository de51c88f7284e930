"""The outcomes of an evaluation as Markdown."""

from collections.abc import Iterable, Sequence

from model.evaluation.markdown import markdown_table, search_name
from model.evaluation.parallel_text import TestSet
from model.evaluation.scoring import FirstDelta, Outcome, Score

Rows = Sequence[tuple[TestSet, list[Outcome]]]


def score_table(rows: Rows, beam_sizes: Sequence[int]) -> str:
    """BLEU / chrF by direction and, if `transformers` was run too, its scores and the difference."""
    against = any(outcome.theirs for _, outcomes in rows for outcome in outcomes)
    head = ["set", "direction", "sentences"]
    for beam_size in beam_sizes:
        search = search_name(beam_size)
        head += [search, f"{search}, transformers", "difference", "same tokens"] if against else [search]
    body = []
    for test_set, outcomes in rows:
        row = [*_labels(test_set), f"{len(test_set.sources):,}"]
        for outcome in outcomes:
            row.append(_pair(outcome.score))
            if outcome.theirs is not None:
                row += [_pair(outcome.theirs), _difference(outcome.score, outcome.theirs), f"{outcome.num_equal:,}"]
        body.append(row)
    return markdown_table(head, body)


def first_delta_table(rows: Rows, beam_sizes: Sequence[int]) -> str:
    """For beam searches: the step at which the first tokens are certain, and the number of steps left after it."""
    searches = [(index, size) for index, size in enumerate(beam_sizes) if size > 1]
    head = ["set", "direction"]
    for _, beam_size in searches:
        head += [f"beam {beam_size}: first delta at step", "steps before the end"]
    body = [
        [*_labels(test_set), *_cells(outcomes[index].first_delta for index, _ in searches)]
        for test_set, outcomes in rows
    ]
    means = [_mean(rows, index) for index, _ in searches]
    return markdown_table(head, [*body, ["all", "", *_cells(means)]])


def _mean(rows: Rows, index: int) -> FirstDelta:
    total = sum(len(test_set.sources) for test_set, _ in rows)
    weighted = [(len(test_set.sources) / total, outcomes[index].first_delta) for test_set, outcomes in rows]
    return FirstDelta(
        sum(weight * delta.steps for weight, delta in weighted),
        sum(weight * delta.steps_early for weight, delta in weighted),
    )


def _cells(deltas: Iterable[FirstDelta]) -> list[str]:
    return [cell for delta in deltas for cell in (f"{delta.steps:.1f}", f"{delta.steps_early:.1f}")]


def _labels(test_set: TestSet) -> list[str]:
    return [test_set.name, f"{test_set.source_lang} → {test_set.target_lang}"]


def _pair(score: Score) -> str:
    return f"{score.bleu:.1f} / {score.chrf:.1f}"


def _difference(ours: Score, theirs: Score) -> str:
    bleu, chrf = (round(value, 2) + 0.0 for value in (ours.bleu - theirs.bleu, ours.chrf - theirs.chrf))
    return f"{bleu:.2f} / {chrf:.2f}"
