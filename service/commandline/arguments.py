"""The arguments of the client commands, and their help."""

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

API_KEY_VARIABLE = "KAKEHASHI_API_KEY"
LANGUAGE = re.compile(r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*")

EXIT_STATUS = """\
exit status:
  0    done
  1    something was refused or could not be translated; stderr says what
  2    wrong arguments or settings
  3    no server answers there, or it stayed busy for five minutes
  130  stopped with Ctrl-C
  141  whoever read the output closed it
"""

TRANSLATE_HELP = """\
Translate texts, lines of standard input, or files.

  kakehashi translate --from en --to de "The cat is sleeping."
  kakehashi translate --from en --to de,fr < notes.txt > translated.txt
  kakehashi translate --from en --to de,fr --output translated subtitles/ README.txt
  kakehashi translate --to de --url http://localhost:8000 --stream "The train leaves at seven."

Without --output, arguments are texts; without any, the lines of standard input are. Standard output has nothing but
translations: one for each line, or, with several target languages, one for each language, in the order of --to.
Empty lines stay.

With --output, arguments are files and directories. DIR/NAME.LANG.EXT is written for each file and language:

  .txt         each line
  .tsv         each cell, or those of --columns
  .srt .vtt    cues; their numbers, times, settings and tags stay
  .html        what stands between two tags; a sentence with tags inside is translated in parts
  .po          messages without a translation; translated, fuzzy and obsolete ones stay
  .json        string values, or those of --keys

Without --url the model is loaded in this process. Its settings are the KAKEHASHI_ variables of `kakehashi serve`.
"""


def add_translate(commands: "Commands") -> None:
    translate = _add(commands, "translate", "translate texts, standard input or files", TRANSLATE_HELP)
    translate.add_argument("inputs", nargs="*", metavar="TEXT", help="texts; with --output, files and directories")
    translate.add_argument("--from", dest="source_lang", type=_language, metavar="LANG", help="default: detected")
    translate.add_argument(
        "--to", dest="target_langs", type=_languages, metavar="LANG[,LANG]", required=True, help="as in `de` or `de,fr`"
    )
    translate.add_argument("--stream", action="store_true", help="print translations while they are made, one by one")
    translate.add_argument("--beam-size", type=_from_one, default=1, metavar="N", help="1 to 8; default 1, greedy")
    _add_where(translate)
    files = translate.add_argument_group("files")
    files.add_argument("--output", type=Path, metavar="DIR", help="where the translations of files go")
    files.add_argument(
        "--resume", action="store_true", help="go on where an earlier run with the same arguments was stopped"
    )
    files.add_argument("--columns", type=_numbers, default=frozenset(), metavar="N[,N]", help="of .tsv; the first is 1")
    files.add_argument(
        "--keys", type=_names, default=frozenset(), metavar="KEY[,KEY]", help="of .json: only what is below them"
    )


def add_languages(commands: "Commands") -> None:
    languages = _add(
        commands,
        "languages",
        "list source languages and their targets",
        "List the languages of a server, or of a checkpoint: code, name and the languages that it is translated into.",
    )
    _add_where(languages)


def add_detect(commands: "Commands") -> None:
    detect = _add(
        commands,
        "detect",
        "detect the languages of texts",
        "Detect the languages of texts, or of the lines of standard input: a line each, with a code, a tab and a\n"
        "confidence from 0 to 1, which is 0 for a text in none of the languages that are served.\n\n"
        "  kakehashi detect 'Der Hund ist im Garten.' 'Good morning.'",
    )
    detect.add_argument("inputs", nargs="*", metavar="TEXT", help="default: the lines of standard input")
    _add_where(detect)


def add_bench(commands: "Commands") -> None:
    """Add `bench`, which passes all arguments, even `--help`, on to the benchmarks."""
    bench = commands.add_parser(
        "bench",
        help="run the benchmarks of a checkout: `kakehashi bench --help`",
        add_help=False,
        prefix_chars="\0",
    )
    bench.add_argument("arguments", nargs="*")


def _add(commands: "Commands", name: str, summary: str, description: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_where(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("where")
    where.add_argument("--url", metavar="URL", help="a running server; default: this process loads the model")
    where.add_argument(
        "--api-key",
        default=os.environ.get(API_KEY_VARIABLE),
        metavar="KEY",
        help=f"of the server; better in the variable {API_KEY_VARIABLE}, since other users see arguments",
    )
    where.add_argument(
        "--model", metavar="REF", help="a checkpoint: its id on the server; without --url, a directory or hub id"
    )


def _language(text: str) -> str:
    if not LANGUAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a language code such as de or pt-BR")
    return text


def _languages(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_language(each.strip()) for each in text.split(",")))


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(map(_from_one, text.split(",")))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split(","))
