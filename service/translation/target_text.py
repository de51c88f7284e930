"""One text in one target language."""

from collections.abc import Callable

import msgspec

from service.text.language_detector import DetectedLanguage
from service.text.markup.marked_up import MarkedUpText
from service.translation.passage import Passage, Sentence
from service.translation.routing import Route


class TargetText(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`target_lang` is the requested code, `passage` the text on the first leg of its route.

    `detected` is the source language, if the request did not name it. If there is `markup`, the translation of the
    passage is rendered as markup.
    """

    text_index: int
    target_lang: str
    route: Route
    passage: Passage
    detected: DetectedLanguage | None = None
    markup: MarkedUpText | None = None

    def renderer(self) -> Callable[[str], str]:
        """A function that renders one translation, in one piece or in deltas."""
        return self.markup.renderer().render if self.markup is not None else str

    @property
    def sentences(self) -> list[Sentence]:
        return self.passage.sentences
