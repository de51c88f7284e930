"""Languages in DeepL's shape: codes in capitals, and English and Portuguese targets by region."""

from collections.abc import Iterable

from model.tokenizers.languages import english_names
from service.api.deepl.schemas import DeepLLanguage
from service.translation.routing import Catalogue

REGIONAL_TARGETS = {"en": ("en-GB", "en-US"), "pt": ("pt-BR", "pt-PT")}
"""DeepL's clients refuse `EN` and `PT` as targets before they send anything."""


def source_entries(catalogue: Catalogue) -> list[DeepLLanguage]:
    names = english_names(catalogue.languages())
    return [DeepLLanguage(code.upper(), name) for code, name in names.items()]


def target_entries(catalogue: Catalogue) -> list[DeepLLanguage]:
    reached = dict.fromkeys(target for targets in catalogue.languages().values() for target in targets)
    names = english_names(_by_region(reached))
    return [DeepLLanguage(code.upper(), name, supports_formality=False) for code, name in names.items()]


def _by_region(codes: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(each for code in codes for each in REGIONAL_TARGETS.get(code, (code,)))
