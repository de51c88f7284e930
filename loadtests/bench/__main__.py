"""Run the benchmarks: python -m loadtests.bench [offline | step | served | overload | cache | scraping] [--help].

`offline` compares the engine with CTranslate2 and `transformers`, `step` compares a decode step with the limits of the
machine, `served` loads a server, `overload` sends it twice what it can do, `cache` measures the gain from the encoder
cache, and `scraping` the cost of reading metrics. Without a name all of them run with their defaults.
"""

import argparse

from loadtests.bench import cache, offline, overload, scraping, served, step

BENCHES = {
    "offline": offline,
    "step": step,
    "served": served,
    "overload": overload,
    "cache": cache,
    "scraping": scraping,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = parser.add_subparsers(dest="bench")
    for name, bench in BENCHES.items():
        bench.add_arguments(names.add_parser(name, description=bench.__doc__))
    chosen = parser.parse_args()
    for name in [chosen.bench] if chosen.bench else list(BENCHES):
        BENCHES[name].run(chosen if chosen.bench else parser.parse_args([name]))


if __name__ == "__main__":
    main()
