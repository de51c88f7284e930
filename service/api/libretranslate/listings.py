"""The languages and settings that LibreTranslate's clients read before they translate."""

from model.tokenizers.languages import english_names
from service.api.libretranslate.schemas import LibreLanguage, LibreSettings, NamedLanguage, NamedPair
from service.translation.language_pair import AUTO, LanguagePair
from service.translation.routing import Catalogue


def languages_answer(catalogue: Catalogue) -> list[LibreLanguage]:
    languages = catalogue.languages()
    names = english_names(languages)
    return [LibreLanguage(code, names[code], [code, *targets]) for code, targets in languages.items()]


def settings_answer(
    catalogue: Catalogue, default: LanguagePair, *, char_limit: int, are_keys_required: bool
) -> LibreSettings:
    source_lang = default.source_lang or catalogue.source_languages()[0]
    target_lang = default.target_lang or catalogue.first_target(source_lang)
    target = NamedLanguage(target_lang, english_names([target_lang])[target_lang])
    return LibreSettings(
        char_limit=char_limit,
        api_keys=are_keys_required,
        key_required=are_keys_required,
        language=NamedPair(NamedLanguage(AUTO, "Auto Detect"), target),
    )
