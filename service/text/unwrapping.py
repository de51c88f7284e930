"""Join the lines of hard-wrapped text, as in mails and PDFs, where a line break is white space inside a sentence."""

import re

_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_SPACES = rf"[^\S{_BREAKS}]*+"
_SINGLE_BREAK = re.compile(rf"(?<=\S){_SPACES}(?:\r\n|[\n\r\v\x85\u2028]){_SPACES}(?=\S)")
_ANY_BREAK = re.compile(rf"(?<=\S){_SPACES}[{_BREAKS}]\s*+(?=\S)")


def join_lines(text: str, *, sets_spaces: bool) -> str:
    """Replace each single line break, and the white space around it, with a space; blank lines stay.

    In a language without spaces between words, a break becomes a space only beside ASCII, such as a Latin word;
    elsewhere it is removed.
    """
    return _SINGLE_BREAK.sub(lambda found: _space(text, found, sets_spaces=sets_spaces), text)


def join_all_lines(text: str, *, sets_spaces: bool) -> str:
    """Replace each run of line breaks of any kind as `join_lines` does, except at the ends of the text."""
    return _ANY_BREAK.sub(lambda found: _space(text, found, sets_spaces=sets_spaces), text)


def _space(text: str, found: re.Match[str], *, sets_spaces: bool) -> str:
    is_needed = sets_spaces or text[found.start() - 1].isascii() or text[found.end()].isascii()
    return " " if is_needed else ""
