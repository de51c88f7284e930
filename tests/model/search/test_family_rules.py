"""The rules of `generation_config.json` hold in every family, as in `test_rules_parity.py` for two of them.

The search does not know the family, so combinations of rules do here.
"""

import pytest

from tests.support.pairs import Pair
from tests.support.rules import check, outputs_without_rules, rules_of

COMBINATIONS = ("bad_pairs", "forced_then_suppressed_elsewhere", "most", "penalty_renormalized", "summary")


@pytest.fixture(scope="module")
def family_said(family: Pair) -> list[list[int]]:
    return outputs_without_rules(family)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_rules_change_tokens_of_a_family_as_in_generate(family: Pair, family_said: list[list[int]], name: str) -> None:
    ruled = check(family, rules_of(name, family, family_said))
    assert len({tuple(ids) for ids in ruled}) > 1
