"""The version of the server, for /health, metrics and fingerprints."""

import importlib.metadata

UNINSTALLED = "0+uninstalled"
"""The version of a source tree that runs without being installed."""


def version() -> str:
    try:
        return importlib.metadata.version("kakehashi")
    except importlib.metadata.PackageNotFoundError:
        return UNINSTALLED
