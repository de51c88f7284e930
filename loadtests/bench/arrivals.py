"""The times at which the requests of an open loop are due."""

from random import Random


def poisson_arrivals(*, rate: float, seconds: float, seed: int) -> list[float]:
    """A Poisson process with `rate` arrivals a second on average: ascending seconds after the start."""
    random = Random(seed)
    arrivals: list[float] = []
    due = random.expovariate(rate)
    while due < seconds:
        arrivals.append(due)
        due += random.expovariate(rate)
    return arrivals
