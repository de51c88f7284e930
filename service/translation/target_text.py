"""One text in one target language."""

import msgspec

from service.text.language_detector import DetectedLanguage
from service.translation.passage import Passage, Sentence
from service.translation.routing import Route


class TargetText(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`target_lang` is the requested code, `passage` the text on the first leg of its route.

    `detected` is the source language, if the request did not name it.
    """

    text_index: int
    target_lang: str
    route: Route
    passage: Passage
    detected: DetectedLanguage | None = None

    @property
    def sentences(self) -> list[Sentence]:
        return self.passage.sentences
