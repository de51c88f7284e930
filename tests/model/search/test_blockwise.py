"""A blockwise search finds the same as a search of all columns, by our kernels and by torch."""

import pytest
import torch

from model.search import blockwise
from model.search.blockwise import BlockwiseScores, first_argmax

KERNELS = pytest.param("kernels", marks=pytest.mark.needs("kernels"))


@pytest.fixture(params=["torch", KERNELS])
def searcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "has_kernels", lambda *_: request.param == "kernels")


def random_scores(num_rows: int, num_columns: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_rows, num_columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_columns", [1, 5, 127, 128, 129, 256, 1000, 16_108])
def test_first_argmax_equals_argmax_at_every_width(num_columns: int) -> None:
    scores = random_scores(50, num_columns)
    assert torch.equal(first_argmax(scores), scores.argmax(dim=1))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 299), (127, 128), (200, 299), (298, 299)])
def test_first_argmax_takes_the_first_of_equals(first: int, second: int) -> None:
    scores = torch.zeros(1, 300)
    scores[0, [first, second]] = 1.0
    assert first_argmax(scores).tolist() == [first]


def test_first_argmax_finds_the_only_column_that_is_not_forbidden() -> None:
    scores = torch.full((3, 300), -torch.inf)
    scores[[0, 1, 2], [0, 150, 299]] = -5.0
    assert first_argmax(scores).tolist() == [0, 150, 299]


@pytest.mark.usefixtures("searcher")
@pytest.mark.parametrize("num_columns", [8, 63, 64, 65, 127, 128, 129, 300, 5000])
@pytest.mark.parametrize("k", [1, 8, 16])
def test_top_k_of_groups_are_those_of_all_columns(num_columns: int, k: int) -> None:
    scores, normalizers, added = (
        random_scores(12, num_columns),
        random_scores(3, 4, seed=3),
        random_scores(3, 4, seed=1),
    )
    rows = torch.randperm(12, generator=torch.Generator().manual_seed(2)).view(3, 4)
    best = BlockwiseScores.of(scores).top_k_of_groups(rows, normalizers, added, k)
    expected = ((scores[rows] - normalizers[:, :, None]) + added[:, :, None]).flatten(1).topk(k, dim=1)
    assert torch.equal(best.values, expected.values)
    assert torch.equal(best.members * num_columns + best.columns, expected.indices)


@pytest.mark.usefixtures("searcher")
def test_group_with_a_number_that_is_nan_has_one_first() -> None:
    scores, normalizers = random_scores(4, 300), torch.zeros(2, 2)
    normalizers[1, 1] = torch.nan
    best = BlockwiseScores.of(scores).top_k_of_groups(torch.arange(4).view(2, 2), normalizers, torch.zeros(2, 2), 4)
    assert best.values[0].isfinite().all()
    assert best.values[1, 0].isnan()


@pytest.mark.needs("kernels")
def test_kernels_take_the_first_of_equals() -> None:
    scores, zeros = torch.zeros(2, 300), torch.zeros(1, 2)
    scores[1, [70, 250]] = 1.0
    best = BlockwiseScores.of(scores).top_k_of_groups(torch.tensor([[0, 1]]), zeros, zeros, 5)
    assert [*zip(best.members[0].tolist(), best.columns[0].tolist(), strict=True)] == [
        (1, 70),
        (1, 250),
        (0, 0),
        (0, 1),
        (0, 2),
    ]


@pytest.mark.usefixtures("searcher")
def test_best_of_groups_with_most_columns_forbidden_are_real_columns() -> None:
    scores = torch.full((2, 130), -torch.inf)
    scores[0, 129] = 1.0
    best = BlockwiseScores.of(scores).top_k_of_groups(torch.tensor([[0, 1]]), torch.zeros(1, 2), torch.zeros(1, 2), 4)
    assert (best.members[0, 0], best.columns[0, 0]) == (0, 129)
    assert best.columns.max() < 130
    assert best.values[0, 1:].eq(-torch.inf).all()
