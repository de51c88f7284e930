"""What a translation has around its sentences."""

from service.text.segmentation import Segmented


def separators_in(segmented: Segmented, target_lang: str) -> list[str]:
    """The text around the translated sentences, one more than there are sentences."""
    return [gap.in_language(target_lang) for gap in segmented.gaps]
