"""Hard-wrapped text, as in mails and PDFs: line breaks that are white space inside a sentence."""

import re

_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_SPACES = rf"[^\S{_BREAKS}]*+"
_SINGLE_BREAK = re.compile(rf"(?<=\S){_SPACES}(?:\r\n|[\n\r\v\x85\u2028]){_SPACES}(?=\S)")
_ANY_BREAK = re.compile(rf"(?<=\S){_SPACES}[{_BREAKS}]\s*+(?=\S)")


def join_lines(text: str, *, sets_spaces: bool) -> str:
    """Single line breaks become a space, with the white space around them; blank lines stay.

    In a language that sets no spaces between words, they become one only beside ASCII, such as a Latin word.
    """
    return _SINGLE_BREAK.sub(lambda found: _space(text, found, sets_spaces=sets_spaces), text)


def join_all_lines(text: str, *, sets_spaces: bool) -> str:
    """Line breaks of every kind and number become a space, but for those at the ends of the text."""
    return _ANY_BREAK.sub(lambda found: _space(text, found, sets_spaces=sets_spaces), text)


def _space(text: str, found: re.Match[str], *, sets_spaces: bool) -> str:
    is_needed = sets_spaces or text[found.start() - 1].isascii() or text[found.end()].isascii()
    return " " if is_needed else ""
