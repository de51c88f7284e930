"""Text with tags: the tags stay where they are, and the content between two of them is a text.

A sentence with tags inside is therefore translated in parts.
"""

import html
import math
import re
import textwrap
from collections.abc import Callable
from itertools import count
from unicodedata import east_asian_width

from service.commandline.documents.document import Translate

_TAG = re.compile(r"(</?[A-Za-z0-9][^>]*>|\{\\[^}]*\})")
_NEXT_SPEAKER = re.compile(r"\n(?=\s*[-–—])")
_DASH = re.compile(r"\s*(?:[-–—]\s*)?")


def rewrite_cue(cue: str, translate: Translate) -> str:
    """Translate a subtitle, in which a sentence over several lines is one text.

    Tags such as `<i>` and SubStation's in braces stay. The translation has at most as many lines as the subtitle. A
    line that begins with a dash starts a new text.
    """
    parts = _TAG.split(cue)
    parts[::2] = [_rewrite_speeches(part, translate) for part in parts[::2]]
    return "".join(parts)


def with_entities(translate: Translate) -> Translate:
    """Wrap `translate` for texts that are escaped as in HTML. A text that it returns unchanged keeps its spelling."""

    def translate_escaped(text: str) -> str:
        plain = html.unescape(text)
        translated = translate(plain)
        return text if translated == plain else html.escape(translated, quote=False)

    return translate_escaped


def flowing(translate: Translate, wrap: Callable[[str, int], str]) -> Translate:
    """Wrap `translate` for texts in which a line break is a space.

    A text is translated on one line, and `wrap` breaks the translation, given the number of lines of the source. White
    space around a text stays, and so does a text that `translate` returns unchanged.
    """

    def translate_flowing(text: str) -> str:
        core = text.strip()
        joined = " ".join(core.split())
        translated = translate(joined)
        return text if translated == joined else text.replace(core, wrap(translated, core.count("\n") + 1))

    return translate_flowing


def wrapped(text: str, num_lines: int) -> str:
    """Break `text` into at most `num_lines` lines of about equal length."""
    has_words = not any(east_asian_width(character) in "WF" for character in text)
    for width in count(max(1, math.ceil(len(text) / num_lines))):
        lines = textwrap.wrap(text, width, break_long_words=not has_words, break_on_hyphens=False)
        if len(lines) <= num_lines:
            return "\n".join(lines)
    raise AssertionError("a wide line holds everything")


def _rewrite_speeches(text: str, translate: Translate) -> str:
    return "\n".join(_rewrite_speech(speech, translate) for speech in _NEXT_SPEAKER.split(text))


def _rewrite_speech(text: str, translate: Translate) -> str:
    start = _DASH.match(text)
    assert start is not None
    return start[0] + flowing(translate, wrapped)(text[start.end() :])
