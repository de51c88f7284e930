"""The table of patterns for text that is not language: addresses, placeholders, tags, codes, emoji, symbols.

Each row names the characters that a thing can begin with, its kind and its pattern. A line is searched once for places
where a thing can begin; at such a place, the rows for its character are tried in order. Every pattern takes time linear
in the length of the line, whatever its content: repetitions are possessive or bounded, and no match is tried in the
middle of a run of the characters that the pattern consists of.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import regex

from service.text.span import Kind, Span

_URL = r"""(?:[\p{Latin}\p{Greek}\p{Cyrillic}\p{M}\d._~:/?\#\[\]@!$&'*+,;=%{}|-]
    |\([\p{Latin}\d._~:/?\#@!$&*+,;=%-]{0,200}+\))"""
_URL_END = r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}\d/\#=&~+%})_-])"
_TOP_LEVEL = "com|org|net|edu|gov|info|io|app|dev|ai|eu|de|at|ch|fr|es|mx|jp|uk|co|us|ca|it|nl|pl|ru|cn|kr|br|in|tv|me"
_SUFFIXES = (
    "py|pyi|js|ts|tsx|jsx|json|ya?ml|toml|xml|html?|css|csv|tsv|txt|md|rst|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|svg|"
    "webp|mp[34]|wav|zip|tar|gz|exe|dll|so|sh|bat|sql|java|go|rs|cpp|hpp|log|ini|cfg|conf|lock|po|env"
)
_WORD = "A-Za-z0-9_"  # ASCII only: text of a language without spaces may touch an identifier
_INSIDE = r"[^{}]"
_NESTED = rf"(?:{_INSIDE}++|\{{(?:{_INSIDE}++|\{{(?:{_INSIDE}++|\{{{_INSIDE}*+\}})*+\}})*+\}})*+"
_FORMATS = "plural|select|selectordinal|number|date|time|duration|ordinal|spellout|choice"
_SUPERSCRIPT = "⁰¹²³⁴-⁹⁺⁻⁼⁽⁾ⁿⁱ₀-₉₊₋₌₍₎"
_FRACTION = "¼½¾⅐-⅞"
_ATTRIBUTE = r"""[\w:@.\#*()\[\]-]++(?:\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>=]++))?+"""
_KEY = r"[^{}\s]{1,100}+"
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,60}+"
_LABEL = r"[A-Za-z0-9-]{1,63}+"
_LARGE = "(?:million|billion|Mio|Mrd)"
_PRINTF = r"(?:\d{1,2}+\$)?+[-+0\#]{0,3}+\d{0,3}+(?:\.\d{1,3}+)?+(?:hh|h|ll|l|z|j|t|L)?[sdifgGeExXoucp@]"
_SYMBOL = "™℠\u2190-\u21ff\u2300-\u23ff\u2500-\u27bf\u2900-\u297f\u2b00-\u2bff♩-♯〒〓"
_RULE = r"\-=*~\#+·•—–─━═"
_ALNUM = "a"  # any ASCII letter or digit
_ELSE = "☺"  # any other character
_RULES = "-=*~#+·•—–─━═"
_FLAGS = r"[\U0001F3FB-\U0001F3FF\uFE0E\uFE0F\u20E3\U000E0020-\U000E007F]"
_PICTURE = rf"\p{{Extended_Pictographic}}{_FLAGS}*+"
_EMOJI = rf"\p{{RI}}{{2}}|[0-9\#*]\uFE0F?\u20E3|(?![©®]){_PICTURE}(?:\u200D{_PICTURE})*+"

_TABLE: tuple[tuple[str, Kind, str], ...] = (
    # tags and entities of a markup language
    ("<", Kind.CLOSING, r"</[A-Za-z][\w:.-]*+\s*+>"),
    ("<", Kind.MARK, rf"<[A-Za-z][\w:.-]*+(?:\s++{_ATTRIBUTE})*+\s*+/>|<(?:br|hr|wbr|img)\b[^<>]*+>"),
    ("<", Kind.MARK, r"<!--(?:[^-<]|-(?!->)|<(?!!--))*+-->|(?<!\S)<3(?!\S)"),
    ("<", Kind.OPENING, rf"<[A-Za-z][\w:.-]*+(?:\s++{_ATTRIBUTE})*+\s*+>"),
    ("&", Kind.MARK, r"&(?:[A-Za-z][A-Za-z0-9]{1,30}+|\#\d{1,7}+|\#[xX][0-9A-Fa-f]{1,6}+);"),
    # placeholders
    ("{", Kind.NAME, rf"\{{\s*+[\w.]++\s*+,\s*+(?:{_FORMATS})\b{_NESTED}\}}"),
    ("{$", Kind.NAME, rf"\$?\{{\{{\{{?\s*+{_KEY}(?:\s++{_KEY}){{0,8}}+\s*+\}}\}}\}}?|\{{%[^{{}}%]{{0,200}}+%\}}"),
    ("{$%#", Kind.NAME, r"[$%\#]?\{\s?+[^{}\s]{0,100}+\s?+\}"),
    ("<", Kind.NAME, r"<%[^<>%]{0,200}+%>"),
    ("%", Kind.NAME, rf"%(?:\({_IDENTIFIER}\)|<{_IDENTIFIER}>)?+{_PRINTF}(?![A-Za-z])(?<!\d%.)"),
    ("%", Kind.NAME, rf"(?<!\d)%(?:%|L?\d{{1,2}}+(?![\d%{_WORD}]))"),
    ("$", Kind.NAME, rf"\$(?:\d{{1,2}}+(?![{_WORD}]|[.,]\d|\ ?{_LARGE})|{_IDENTIFIER}|\({_IDENTIFIER}\))"),
    (":", Kind.NAME, rf"(?<![{_WORD}:)\]}}/.\\]):[a-z_][{_WORD}]{{0,60}}+:?"),
    # addresses
    (_ALNUM, Kind.NAME, rf"(?:(?:https?|ftps?|file|wss?|ssh|git)://|www\.|(?:mailto|tel):(?=[\w+])){_URL}*{_URL_END}"),
    (_ALNUM, Kind.NAME, rf"[{_WORD}.%+-]{{1,64}}+@{_LABEL}(?:\.{_LABEL}){{1,6}}+"),
    (
        _ALNUM,
        Kind.NAME,
        rf"(?<![.@-])(?:{_LABEL}\.){{1,5}}?(?:{_TOP_LEVEL})(?![{_WORD}-])(?:[/?\#]{_URL}*{_URL_END})?",
    ),
    ("@#", Kind.NAME, rf"(?<![{_WORD}@])[@\#][A-Za-z_][{_WORD}]{{1,40}}+"),
    # codes
    ("`", Kind.NAME, r"`[^`]{1,200}+`"),
    (
        _ALNUM,
        Kind.NAME,
        rf"(?<![.-])[{_WORD}-]{{1,60}}+(?:\.[{_WORD}-]{{1,60}}+){{0,3}}?\.(?:{_SUFFIXES})(?![{_WORD}])",
    ),
    (_ALNUM, Kind.NAME, rf"[0-9A-Fa-f]{{8}}(?:-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}(?![{_WORD}])"),
    (_ALNUM, Kind.NAME, rf"(?:[A-Z]{{2}}\d{{2}}(?:\ ?[A-Z0-9]{{4}}){{3,8}}|\d{{4}}(?:\ \d{{4}}){{2,6}})(?![{_WORD}])"),
    ("+", Kind.NAME, r"\+\d{1,3}+(?:[ ()/.-]{1,2}+\d{1,14}+){1,6}+"),
    (
        _ALNUM,
        Kind.NAME,
        rf"(?!\d{{1,3}}(?:\.\d{{3}})++(?![\d.-]))[vV]?\d++(?:[-./:]\d++){{2,}}+(?:[-.+:]?[{_WORD}]++)*+",
    ),
    (_ALNUM, Kind.NAME, rf"(?:[vV]\d++(?:\.\d++)++|\d{{7,}}+|0x[0-9A-Fa-f]++)[{_WORD}]*+"),
    (_ALNUM, Kind.NAME, rf"(?<!-)[A-Z]{{1,6}}+[-_]?\d{{2,}}+(?:[-_]?[A-Z0-9]++)*+(?![{_WORD}])"),
    (_ALNUM, Kind.NAME, rf"(?=[a-f]{{0,40}}+\d)(?=\d{{0,40}}+[a-f])[0-9a-f]{{7,64}}+(?![{_WORD}])"),
    (_ALNUM, Kind.NAME, rf"[A-Za-z0-9]++(?:_++[A-Za-z0-9]++)++(?:\(\))?|(?<!\.)[A-Za-z][{_WORD}]{{0,60}}+\(\)"),
    ("_", Kind.NAME, rf"(?<![{_WORD}])__[a-z]++(?:_[a-z]++)*+__"),
    ("#", Kind.NAME, rf"\#[0-9A-Fa-f]{{6}}(?![{_WORD}])"),
    (
        "/.~",
        Kind.NAME,
        rf"(?<![{_WORD}\\/.~<])(?:~/|\.{{1,2}}/|/(?=[{_WORD}.-]{{1,100}}+/))[{_WORD}.+\\/-]++(?<=[{_WORD}/\\])",
    ),
    (_ALNUM, Kind.NAME, rf"[A-Za-z]:\\[{_WORD}.+\\/-]*+"),
    ("-", Kind.NAME, rf"(?<![{_WORD}-])--[a-z][{_WORD}-]*+(?:=[!-\'*+.-:<-~-]++)?"),
    # characters that lose their meaning in a normal form of the text
    (
        _ALNUM,
        Kind.NAME,
        rf"(?<!\p{{Latin}})[A-Za-z0-9]{{1,3}}+[{_SUPERSCRIPT}]++[A-Za-z0-9{_SUPERSCRIPT}]*+|\d{{1,9}}+[{_FRACTION}]",
    ),
    (_ELSE, Kind.MARK, rf"[{_SUPERSCRIPT}{_FRACTION}]++"),
    # emoji, symbols, emoticons, lines of a form
    (_ALNUM + _ELSE + "#*", Kind.MARK, rf"(?:{_EMOJI})++|[©®{_SYMBOL}]++[\uFE0E\uFE0F]?+"),
    (_ELSE, Kind.OPENING, r"[\u202a\u202b\u202d\u202e\u2066-\u2068]"),  # directions of text
    (_ELSE, Kind.CLOSING, r"[\u202c\u2069]"),
    (_ELSE, Kind.MARK, r"[\u200e\u200f]"),
    (":;=", Kind.MARK, r"(?<!\S)[:;=][-'^]?[()DPpOo/|*](?!\S)"),
    ("_", Kind.MARK, r"_{2,}+"),
    (".", Kind.MARK, r"\.{5,}+"),
    (_RULES, Kind.MARK, rf"[{_RULE}]{{5,}}+"),
    (" ", Kind.SPACE, r"(?<=\S\ )\ (?=\S)"),
)


_SIGNS = (
    r"<&{$%#@`+_/~=*·•─━═©®²³¹¼-¾\u203c\u2049\u2070-\u209f\u2100-\u2bff\u3004-\u3020\u3030\u303d\u3297\u3299"
    r"\U0001f000-\U0001ffff\u200e\u200f\u202a-\u202e\u2066-\u2069"
)
_HINT = re.compile(rf"[{_SIGNS}\d\\:;]")
_HINT_AFTER_DOT = re.compile(r"\.[\w./]")
_HINTS = ("  ", "--", "()", "––", "——")
_ANCHOR = re.compile(
    rf"[{_SIGNS}]|:(?=[-a-z_'^)(DPO/|*])|;(?=[-'^)(DP])|\.(?=[./])|[-–—](?=[-–—])|(?<=\S ) (?=\S)"
    r"|(?<![A-Za-z0-9_])(?=[A-Za-z0-9](?:[A-Za-z0-9%+-]{0,64}+[@._:/\\(⁰¹²³⁴-⁹⁺-ⁿ₀-₎¼½¾⅐-⅞\ufe0f\u20e3]"
    r"|[A-Za-z-]{0,40}+\d|x[0-9A-Fa-f]))"
)
"""Matches at places where a thing can begin."""


class _Rows(NamedTuple):
    """The rows of the table for one first character; group i of `pattern` has the kind `kinds[i - 1]`."""

    pattern: regex.Pattern[str]
    kinds: list[Kind]


def _rows(character: str) -> _Rows:
    rows = [(kind, pattern) for first, kind, pattern in _TABLE if character in first]
    choice = "|".join(f"({pattern})" for _, pattern in rows)
    return _Rows(regex.compile(choice, regex.VERBOSE | regex.VERSION1), [kind for kind, _ in rows])


_BY_CHARACTER = {character: _rows(character) for character in "<&{$%#:;=@`+_/.~-*·•—–─━═ "}
_OF_ALNUM = _rows(_ALNUM)
_OF_ELSE = _rows(_ELSE)


def _may_have_things(line: str) -> bool:
    """Whether a line may contain things: a quick check that rules out most lines."""
    return bool(_HINT.search(line) or _HINT_AFTER_DOT.search(line)) or any(hint in line for hint in _HINTS)


def known_things(line: str) -> Iterator[Span]:
    """The things in a line that match the table, from left to right and without overlaps."""
    if not _may_have_things(line):
        return
    end = 0
    for anchor in _ANCHOR.finditer(line):
        start = anchor.start()
        if start < end:
            continue
        character = line[start]
        is_alnum = character.isascii() and character.isalnum()
        rows = _OF_ALNUM if is_alnum else _BY_CHARACTER.get(character, _OF_ELSE)
        found = rows.pattern.match(line, start)
        if found is not None:
            end = found.end()
            yield Span(start, end, rows.kinds[found.lastindex - 1])
