"""The tokens of HTML documents and fragments, read with turbohtml's tokenizer, which accepts any text.

The tokenizer ends the text of a script or a title as browsers do, without a tree. Characters that a browser drops
(`</>`, a tag that the end of the text cuts off) belong to the token before them.
"""

from collections.abc import Iterator
from itertools import accumulate

from turbohtml import TokenType, tokenize

from service.text.markup.token import Token, TokenKind, marked_translated

_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())  # noqa: SIM905
_BLOCKS = frozenset(
    """
    address article aside audio blockquote body br button caption center col colgroup dd details dialog dir div dl dt
    fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe legend li
    link main menu meta nav noscript object ol optgroup option p pre search section select summary table tbody td
    template textarea tfoot th thead title tr ul video
    """.split()  # noqa: SIM905
)
_UNTRANSLATED = frozenset(
    "code iframe kbd math noembed noframes plaintext pre samp script style sub sup svg textarea var xmp".split()  # noqa: SIM905
)
_CELL_ENDS = frozenset({"td", "th", "tr", "tbody", "tfoot"})
_DESCRIPTION_ENDS = frozenset({"dt", "dd"})

IMPLIED_ENDS = {
    "p": _BLOCKS - {"br", "button", "iframe", "link", "meta", "noscript", "object", "template", "title"},
    "li": frozenset({"li"}),
    "dt": _DESCRIPTION_ENDS,
    "dd": _DESCRIPTION_ENDS,
    "option": frozenset({"option", "optgroup"}),
    "tr": frozenset({"tr", "tbody", "tfoot"}),
    "td": _CELL_ENDS,
    "th": _CELL_ENDS,
}
"""Elements that need no end tag, and the start tags that end them."""


def html_tokens(source: str) -> Iterator[Token]:
    # The length stays, so places in `text` are places in the source. The tokenizer itself would join CR LF.
    text = source.replace("\r", "\n")
    line_starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    for each in tokenize(text, resolve_references=False):
        start = line_starts[each.line - 1] + each.col
        name = each.tag or ""
        match each.type:
            case TokenType.TEXT | TokenType.CHARACTER_REFERENCE:
                data = each.data or ""
                as_written = source[start : start + len(data)]
                yield Token(TokenKind.TEXT, start, text=as_written if as_written.replace("\r", "\n") == data else data)
            case TokenType.START_TAG:
                kind = TokenKind.EMPTY if name in _VOID else TokenKind.START
                attributes = tuple(each.attrs or ())
                is_translated = False if name in _UNTRANSLATED else marked_translated(attributes)
                yield Token(kind, start, name, "", attributes, name in _BLOCKS, is_translated)
            case TokenType.END_TAG:
                yield Token(TokenKind.END, start, name, is_block=name in _BLOCKS)
            case _:
                yield Token(TokenKind.OTHER, start)
