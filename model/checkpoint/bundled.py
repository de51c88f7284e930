"""The checkpoint that comes along."""

from pathlib import Path

BUNDLED_MODEL = Path(__file__).parents[1] / "bundled"
