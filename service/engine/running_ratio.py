"""A ratio learned from pairs of amounts, in which old pairs count less and less. Pure policy."""

from dataclasses import dataclass


@dataclass(slots=True)
class RunningRatio:
    """The ratio of two sums over about the last `memory` of the denominator."""

    memory: float
    numerator: float = 0.0
    denominator: float = 0.0

    def learn(self, numerator: float, denominator: float) -> None:
        kept = max(0.0, 1 - denominator / self.memory)
        self.numerator = kept * self.numerator + numerator
        self.denominator = kept * self.denominator + denominator

    def of(self, amount: float) -> float:
        """The numerator to expect with this denominator. Something must have been learned, or given at the start."""
        return amount * self.numerator / self.denominator
