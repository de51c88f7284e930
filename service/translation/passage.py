"""The structure from which a text is reassembled."""

import msgspec

from service.translation.decoded_text import DecodedText
from service.translation.insets import Insets
from service.translation.routing import Leg


class Sentence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One sentence on its way into one language. `before` precedes it in the translation.

    `insets` still have to be put among the words of `decoded`. If there is a `relay`, `decoded` is the text in the
    pivot language.
    """

    before: str
    decoded: DecodedText
    relay: "Relay | None" = None
    insets: Insets | None = None


class Passage(msgspec.Struct, eq=False, gc=False):
    """A text on one leg. `after` follows the last sentence; without sentences it is the whole text.

    While it is not whole, more sentences may be added.
    """

    sentences: list[Sentence]
    after: str = ""
    is_whole: bool = False

    def end(self, after: str) -> None:
        self.after, self.is_whole = after, True


class Relay(msgspec.Struct, eq=False, gc=False):
    """The second leg of `num_sentences` sentences with the same first leg. `passage` is set when that leg ends.

    `prefix` is the forced start of the translation, if it starts with these sentences. `insets` are put into the text
    of the first leg.
    """

    leg: Leg
    prefix: str
    insets: Insets | None
    num_sentences: int = 0
    passage: Passage | None = None
