"""Run the benchmarks: python -m loadtests.bench [offline | step | served | overload | cache | scraping | gpu] [--help].

`offline` compares the engine with CTranslate2 and `transformers`, `step` compares a decode step with the limits of the
machine, `served` loads a server, `overload` sends it twice what it can do, `cache` measures the gain from the encoder
cache, and `scraping` the cost of reading metrics. Without a name these run with their defaults. `gpu` is for machines
with a GPU.
"""

import argparse
from importlib import import_module

BENCHES = {
    "offline": "loadtests.bench.offline",
    "step": "loadtests.bench.step",
    "served": "loadtests.bench.served",
    "overload": "loadtests.bench.overload",
    "cache": "loadtests.bench.cache",
    "scraping": "loadtests.bench.scraping",
    "gpu": "loadtests.bench.gpu.command",
}
ON_ANY_MACHINE = ("offline", "step", "served", "overload", "cache", "scraping")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", nargs="?", choices=BENCHES)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="`NAME --help` lists those of a benchmark")
    chosen = parser.parse_args()
    for name in [chosen.bench] if chosen.bench else ON_ANY_MACHINE:
        bench = import_module(BENCHES[name])  # only then: each needs packages that a machine may lack
        own = argparse.ArgumentParser(prog=f"{parser.prog} {name}", description=bench.__doc__)
        bench.add_arguments(own)
        bench.run(own.parse_args(chosen.arguments))


if __name__ == "__main__":
    main()
