"""Layers with weights that a checkpoint fills: construction allocates them and leaves them uninitialised."""

from torch import nn


class Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Drawing random weights, only to overwrite them, would take most of the time of a start."""


class Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """As in `Linear`."""
