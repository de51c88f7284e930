"""What was taken out of a sentence, on its way into one language."""

import msgspec

from service.text.weaving import SourceInset, Woven, weave
from service.translation.decoded_text import DecodedText


class Insets(msgspec.Struct, frozen=True, gc=False):
    """`sets_spaces` is true of a target language with spaces between words.

    Sentences that share a decode mostly have equal insets: what they become is kept with the decode.
    """

    insets: tuple[SourceInset, ...]
    sets_spaces: bool

    def weave_into(self, decoded: DecodedText, *, rank: int) -> Woven:
        """The hypothesis of that rank with the insets in it; `decoded` is over."""
        woven = decoded.woven.get((self, rank))
        if woven is None:
            deltas, weights = decoded.aligned_deltas(rank)
            decoded.weaving_work += len(deltas) * len(self.insets)
            woven = decoded.woven[self, rank] = weave(deltas, weights, self.insets, sets_spaces=self.sets_spaces)
        return woven
