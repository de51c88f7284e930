"""The page of settings, the class, the flags of `kakehashi serve` and the variables named elsewhere agree."""

import re

import pytest

from service import cli
from service.commandline.arguments import API_KEY_VARIABLE
from service.configuration_page import render
from service.settings import Settings, variable_name
from tests.support.markdown import PAGES, Page, page

VARIABLE = re.compile(r"\bKAKEHASHI_[A-Z_]+[A-Z]\b")
ROW = re.compile(r"^\| `(KAKEHASHI_\w+)` \|", re.MULTILINE)
FLAG = re.compile(r"^ +--([a-z-]+) VALUE", re.MULTILINE)
SERVE = re.compile(r"kakehashi serve (--.*)")
USED_FLAG = re.compile(r"--([a-z-]+)")
SETTINGS = {variable_name(name) for name in Settings.model_fields}


def test_the_page_is_what_the_settings_generate() -> None:
    assert page("docs/configuration.md").text == render(), "run `make docs`"


def test_the_page_the_settings_and_the_flags_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    flags = [variable_name(flag.replace("-", "_")) for flag in FLAG.findall(capsys.readouterr().out)]
    rows = ROW.findall(page("docs/configuration.md").text)
    assert rows == flags == [variable_name(name) for name in Settings.model_fields]


@pytest.mark.parametrize("each", PAGES, ids=str)
def test_a_named_setting_exists(each: Page) -> None:
    assert set(VARIABLE.findall(each.text)) <= SETTINGS | {API_KEY_VARIABLE}
    used = {flag for line in SERVE.findall(each.text) for flag in USED_FLAG.findall(line)}
    assert {variable_name(flag.replace("-", "_")) for flag in used} <= SETTINGS | {API_KEY_VARIABLE}
