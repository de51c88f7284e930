"""One text in one target language."""

import msgspec

from service.text.language_detector import DetectedLanguage
from service.translation.passage import Passage, Sentence
from service.translation.routing import Route


class TargetText(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`target_lang` is the code that was asked for, `passage` the text on the first leg of its route.

    `detected` is its source language, if that was not named.
    """

    text_index: int
    target_lang: str
    route: Route
    passage: Passage
    detected: DetectedLanguage | None = None

    @property
    def sentences(self) -> list[Sentence]:
        return self.passage.sentences
