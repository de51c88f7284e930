"""DeepL's API, version 2."""
