"""The `kakehashi` command: `serve`, `key`, the client commands, and `evaluate`.

`evaluate` serves nothing and runs the model in this process.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import CheckpointError
from model.search.spec import MAX_BEAM_SIZE
from model.transformer.compute_types import ComputeType
from service.commandline.arguments import add_bench, add_detect, add_languages, add_translate
from service.listeners import ListenError, listening
from service.observability.log import configure_logging
from service.settings import Settings, SettingsError, load_settings, variable_name

_EVALUATE_EXTRA = "sacrebleu"
"""The package that the extra `evaluate` installs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status.

    - 0: done
    - 1: the checkpoint cannot be served, or this machine does not support the compute type
    - 2: a wrong setting or bad data
    - 3: the address cannot be listened on
    - 4: a second signal ended running requests
    - 5: the workers died again and again while they started

    The client commands describe their statuses in their help.
    """
    parser = argparse.ArgumentParser(
        prog="kakehashi",
        description="A translation server, and commands that translate with it or without one.",
        epilog="`kakehashi COMMAND --help` has the arguments, with examples.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a checkpoint over HTTP", allow_abbrev=False)
    for name, field in Settings.model_fields.items():
        serve.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"{field.description} ({variable_name(name)}; default {field.default})".replace("%", "%%"),
        )
    _add_key(commands)
    add_translate(commands)
    add_languages(commands)
    add_detect(commands)
    _add_evaluate(commands)
    add_bench(commands)
    flags = parser.parse_args(arguments)
    if flags.command == "evaluate":
        sys.exit(_evaluate(flags))
    if flags.command == "key":
        sys.exit(_make_key(flags))
    if flags.command != "serve":
        sys.exit(_run_client(flags))
    sys.exit(_serve({name: value for name, value in vars(flags).items() if name != "command"}))


def _add_key(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    key = commands.add_parser(
        "key",
        help="make an API key",
        description="Make an API key. Its entry for KAKEHASHI_API_KEYS_FILE, which has only a hash of the key, goes to "
        "standard output, and the key itself, which is not stored anywhere, to standard error.",
        epilog="example: kakehashi key alice --requests 600 >> keys",
        allow_abbrev=False,
    )
    key.add_argument("name", metavar="NAME", help="name of the key, for logs and limits")
    key.add_argument("--requests", type=_count, metavar="N", help="requests a minute (default no limit)")
    key.add_argument("--characters", type=_count, metavar="N", help="characters a minute (default no limit)")


def _make_key(flags: argparse.Namespace) -> int:
    from service.api.key_entries import ApiKeysError, new_key

    limits = {"requests": flags.requests, "characters": flags.characters}
    try:
        key, entry = new_key(flags.name, [f"{name}={limit}" for name, limit in limits.items() if limit is not None])
    except ApiKeysError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 2
    print(entry)
    print(f"The key of {flags.name}, which cannot be shown again: {key}", file=sys.stderr)
    return 0


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    evaluate = commands.add_parser(
        "evaluate", help="score a checkpoint's translations of parallel text", allow_abbrev=False
    )
    evaluate.add_argument(
        "data", type=Path, metavar="DATA_DIR", help="directory of NAME.en-XX.tsv, one pair a line: English, tab, other"
    )
    evaluate.add_argument("--model", default=str(BUNDLED_MODEL), metavar="REF", help="checkpoint: directory or hub id")
    evaluate.add_argument("--compute-type", choices=get_args(ComputeType), default="float32", help="default float32")
    evaluate.add_argument(
        "--beam-sizes", type=_beam_size, nargs="+", default=[1, 4], metavar="N", help="1 is greedy (default 1 4)"
    )
    evaluate.add_argument("--limit", type=_count, metavar="N", help="lines of each file (default all)")
    evaluate.add_argument("--against", choices=["transformers"], help="translate with it too, and show the difference")
    evaluate.add_argument("--threads", type=_count, metavar="N", help="torch threads (default torch's own choice)")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _beam_size(text: str) -> int:
    value = _count(text)
    if value > MAX_BEAM_SIZE:
        raise argparse.ArgumentTypeError(f"{value} is more than {MAX_BEAM_SIZE}")
    return value


def _evaluate(flags: argparse.Namespace) -> int:
    try:
        from model.evaluation.command import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package != _EVALUATE_EXTRA:
            raise
        print(f"kakehashi: {package} is missing: pip install 'kakehashi[evaluate]'", file=sys.stderr)
        return 2
    return run(
        flags.data,
        reference=flags.model,
        compute_type=flags.compute_type,
        beam_sizes=list(dict.fromkeys(flags.beam_sizes)),
        limit=flags.limit,
        against_transformers=flags.against is not None,
        num_threads=flags.threads,
    )


def _run_client(flags: argparse.Namespace) -> int:
    from service.commandline.commands import run

    return run(flags)


def _serve(flags: dict[str, str]) -> int:
    from service.server import Server  # this import takes a second; other commands do without it

    try:
        settings = load_settings(flags=flags)
        log_writer = configure_logging(
            log_format=settings.log_format, log_level=settings.log_level, with_texts=settings.log_texts
        )
        with ExitStack() as stack:
            ports = [settings.port, *([settings.operation_port] if settings.operation_port else [])]
            listeners = [each for port in ports for each in stack.enter_context(listening(settings.host, port))]
            server = Server(settings, log_writer=log_writer)
            server.run(listeners)
    except SettingsError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 2
    except CheckpointError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 1
    except ListenError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 3
    return server.exit_code


if __name__ == "__main__":
    main()
