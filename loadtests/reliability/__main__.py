"""Put a server to the test: python -m loadtests.reliability chaos | fuzz | soak [--help].

`chaos` kills and stops processes under clients of all kinds, `fuzz` sends requests that nobody should send, and `soak`
holds a server at 80 % of its capacity. Each starts a server of its own. Exits with 1 if a promise was broken.
"""

import argparse
import sys

from loadtests.reliability import chaos, fuzz, soak
from loadtests.reliability.trial import Report

TRIALS = {"chaos": chaos, "fuzz": fuzz, "soak": soak}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = parser.add_subparsers(dest="trial", required=True)
    for name, trial in TRIALS.items():
        described = names.add_parser(
            name, description=trial.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        trial.add_arguments(described)
    chosen = parser.parse_args()
    report: Report = TRIALS[chosen.trial].run(chosen)
    print(report)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
