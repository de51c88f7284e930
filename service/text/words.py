"""The boundaries of words, in scripts with spaces between words and in scripts without."""

import regex

SCRIPTS_WITHOUT_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""The scripts without spaces between words, for use inside a character class of `regex`."""
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{SCRIPTS_WITHOUT_SPACES}]]"
_INSIDE = regex.compile(rf"(?<={_LETTER}){_LETTER}", regex.VERSION1)
_INSIDE_COMPOUND = regex.compile(rf"(?<={_LETTER}-?){_LETTER}|(?<={_LETTER})-(?={_LETTER})", regex.VERSION1)
_LETTERS = regex.compile(r"[\p{L}\p{M}\p{N}](?:.*[\p{L}\p{M}\p{N}])?", regex.DOTALL)


def is_inside_word(text: str, place: int) -> bool:
    """Whether letters or digits of one word stand on both sides of `place`; False in a script without spaces."""
    return _INSIDE.match(text, place) is not None


def words_around(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The range of the whole words, with hyphens, that have letters or digits from `start` to `end`; None without any.

    In a script without spaces, the range covers only these letters and digits.
    """
    found = _LETTERS.search(text, start, end)
    if found is None:
        return None
    start, end = found.span()
    while _INSIDE_COMPOUND.match(text, start):
        start -= 1
    while _INSIDE_COMPOUND.match(text, end):
        end += 1
    return start, end
