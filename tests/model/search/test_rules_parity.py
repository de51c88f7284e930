"""Each rule of `generation_config.json`, alone and with others, changes tokens as it does in `transformers`."""

import pytest

from tests.support.pairs import Pair, prompts_of
from tests.support.rules import NAMES, NUM_SOURCES, Rules, check, outputs_without_rules, rules_of, theirs

UNSEEN = {"bonus", "forced_then_suppressed_elsewhere"}


@pytest.fixture(scope="module")
def said(lively: Pair) -> list[list[int]]:
    return outputs_without_rules(lively)


@pytest.mark.parametrize("name", NAMES)
def test_rules_change_tokens_as_in_generate(lively: Pair, said: list[list[int]], name: str) -> None:
    ruled = check(lively, rules_of(name, lively, said))
    assert ruled != said or name in UNSEEN
    assert len({tuple(ids) for ids in ruled}) > NUM_SOURCES / 2


@pytest.mark.parametrize("name", ["forced_bos", "forced_bos_and_begin_suppress", "forced_both_ends"])
def test_first_token_is_forced_after_a_prompt_of_one_token(marian: Pair, name: str) -> None:
    rules: Rules = {"forced_bos_token_id": 40}
    if name == "forced_bos_and_begin_suppress":
        outputs = theirs(marian, rules, num_beams=1)
        rules["begin_suppress_tokens"] = sorted({output.token_ids[1] for output in outputs})
    if name == "forced_both_ends":
        rules |= {"forced_eos_token_id": 0, "max_length": 3}
    assert {ids[0] for ids in check(marian, rules)} == {40}


@pytest.mark.parametrize("name", ["no_repeat_2", "penalty", "min_length", "begin_suppress", "most"])
def test_rules_see_a_forced_prefix(lively: Pair, said: list[list[int]], name: str) -> None:
    prompt = [*prompts_of(lively, 1)[0], *max(said, key=len)[:3]]
    rules = rules_of(name, lively, said)
    ruled = check(lively, rules, prompt=prompt)
    assert len({tuple(ids) for ids in ruled}) > 1
