"""Texts in many scripts, with characters that are hard to reassemble."""

from tests.support.checkpoints import read_sources

TEXTS = [
    *(source.text for source in read_sources()),
    "架け橋は、橋を架けることです。",
    "が か\u3099 パ ハ\u309a",  # composed, decomposed
    "Zürich u\u0308ber é e\u0301 Việt Nam",
    "👨‍👩‍👧 🇯🇵 👍🏽 ok",
    "שלום עולם, مرحبا بالعالم",
    "हिन्दी ไทย 한국어 \u1112\u1161\u11ab",
    "a\u00a0b\u3000c  d\te",
    "",
]
