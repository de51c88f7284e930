"""HTML: the content between two tags is a text; tags, attributes, comments, scripts, styles and code stay unchanged.

The standard library's parser reports where each part begins, so only the texts are rewritten, and everything else stays
the same byte for byte.
"""

from html.parser import HTMLParser
from itertools import accumulate, groupby, pairwise

from service.commandline.documents.document import DocumentError, Translate
from service.commandline.documents.markup import flowing, with_entities

_KEPT = frozenset({"code", "kbd", "pre", "samp", "script", "style", "textarea", "var"})


def rewrite_html(text: str, translate: Translate) -> str:
    try:
        reader = _Reader(text)
    except AssertionError as error:  # the parser raises it for an unknown `<![`
        raise DocumentError(f"not HTML: {error}") from error
    translate_run = with_entities(flowing(translate, lambda translated, _: translated))
    runs = groupby(pairwise(reader.marks), key=lambda pair: pair[0][1])
    pieces = ((is_text, list(pairs)) for is_text, pairs in runs)
    spans = ((is_text, text[pairs[0][0][0] : pairs[-1][1][0]]) for is_text, pairs in pieces)
    return "".join(translate_run(span) if is_text else span for is_text, span in spans)


class _Reader(HTMLParser):
    """`marks` has the start of every part of the page, in order, and whether it is text; the last mark is the end."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.marks = [(0, False)]  # the parser skips `</>` without calling a handler
        self._line_starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        self._num_kept = 0
        self.feed(text)
        self.close()
        self.marks.append((len(text), False))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._mark(is_text=False)
        self._num_kept += tag in _KEPT

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._mark(is_text=False)

    def handle_endtag(self, tag: str) -> None:
        self._mark(is_text=False)
        self._num_kept -= tag in _KEPT and self._num_kept > 0

    def handle_data(self, data: str) -> None:  # noqa: ARG002
        self._mark(is_text=self._num_kept == 0)

    def handle_charref(self, name: str) -> None:  # noqa: ARG002
        self._mark(is_text=self._num_kept == 0)

    def handle_entityref(self, name: str) -> None:  # noqa: ARG002
        self._mark(is_text=self._num_kept == 0)

    def handle_comment(self, data: str) -> None:  # noqa: ARG002
        self._mark(is_text=False)

    def handle_decl(self, decl: str) -> None:  # noqa: ARG002
        self._mark(is_text=False)

    def handle_pi(self, data: str) -> None:  # noqa: ARG002
        self._mark(is_text=False)

    def unknown_decl(self, data: str) -> None:  # noqa: ARG002
        self._mark(is_text=False)

    def _mark(self, *, is_text: bool) -> None:
        line, column = self.getpos()
        self.marks.append((self._line_starts[line - 1] + column, is_text))
