"""The rules of `generation_config.json` hold in every family, as `test_rules_parity.py` has it for two."""

import pytest

from tests.model.search.test_rules_parity import BEAM_SIZE, NAMES, check, rules_of, theirs
from tests.support.pairs import Pair


@pytest.fixture(scope="module")
def family_said(family: Pair) -> list[list[int]]:
    """What is said without rules, greedily and with beams: for rules that forbid some of it."""
    return [output.token_ids for beams in (1, BEAM_SIZE) for output in theirs(family, {}, num_beams=beams)]


@pytest.mark.parametrize("name", NAMES)
def test_rules_change_tokens_of_a_family_as_in_generate(family: Pair, family_said: list[list[int]], name: str) -> None:
    ruled = check(family, rules_of(name, family, family_said))
    assert len({tuple(ids) for ids in ruled}) > 1
