"""`kakehashi serve`."""

import argparse
import sys
from collections.abc import Sequence

from model.config import CheckpointError
from service.log import configure_logging
from service.server import Server
from service.settings import Settings, SettingsError, load_settings, variable_name


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit status: 0 after a drain, 1 for a bad checkpoint, 2 for a wrong setting, 3 for an address in use."""
    parser = argparse.ArgumentParser(prog="kakehashi", description="A translation server.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a checkpoint over HTTP", allow_abbrev=False)
    for name, field in Settings.model_fields.items():
        serve.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"{field.description} ({variable_name(name)}; default {field.default})".replace("%", "%%"),
        )
    flags = vars(parser.parse_args(arguments))
    del flags["command"]
    sys.exit(_serve(flags))


def _serve(flags: dict[str, str]) -> int:
    try:
        settings = load_settings(flags=flags)
        configure_logging(log_format=settings.log_format, log_level=settings.log_level)
        server = Server(settings)
    except SettingsError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 2
    except CheckpointError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 1
    server.run()
    return server.exit_code


if __name__ == "__main__":
    main()
