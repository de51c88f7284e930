"""SubRip and WebVTT: the cues are texts; indices, times, settings, styles and notes stay."""

import srt
import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError

from service.commandline.documents.document import DocumentError, Translate
from service.commandline.documents.markup import rewrite_cue, with_entities


def rewrite_srt(text: str, translate: Translate) -> str:
    try:
        cues = list(srt.parse(text))
    except srt.SRTParseError as error:
        raise DocumentError(f"not SubRip: {error}") from error
    for cue in cues:
        cue.content = rewrite_cue(cue.content, translate)
    return _ending_as(text, srt.compose(cues, reindex=False, strict=False))


def rewrite_vtt(text: str, translate: Translate) -> str:
    try:
        captions = webvtt.from_string(text)
    except (MalformedCaptionError, MalformedFileError) as error:
        raise DocumentError(f"not WebVTT: {error}") from error
    for cue in captions.captions:
        cue.lines = rewrite_cue(cue.raw_text, with_entities(translate)).split("\n")
    return _ending_as(text, captions.content)


def _ending_as(source: str, text: str) -> str:
    """End `text` as `source` ends, because libraries write line breaks of their own at the end."""
    return text.rstrip("\n") + source[len(source.rstrip("\n")) :]
