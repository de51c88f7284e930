"""Our own options of locust, which are also environment variables, and the shape and thresholds that they choose."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable

from locust import LoadTestShape
from locust.argument_parser import LocustArgumentParser

from loadtests.locust.phrases import read_phrases
from loadtests.locust.shapes import OpenShape, SteppedShape
from loadtests.locust.thresholds import Thresholds
from loadtests.locust.traffic import Traffic

SHAPES = ("closed", "stepped", "open")
DEFAULT_STEP_SECONDS = 15.0
SHAPE_NUMBERS: tuple[tuple[str, Callable[[str], float], float | None, str], ...] = (
    ("rate", float, 20.0, "open: requests a second on average"),
    ("steps", int, 4, "stepped: how many"),
    ("step-users", int, 4, "stepped: users added at each step"),
    ("step-seconds", float, None, "stepped: length of a step; default: equal shares of --run-time"),
)
THRESHOLDS = (
    ("max-failed-percent", 1.0, "threshold, like those below; a missed one exits with 1: failed requests"),
    ("max-plain-p95-ms", 3000.0, "95th percentile of plain answers to one text"),
    ("max-first-token-p95-ms", 1000.0, "95th percentile of a stream's time to its first token"),
    ("max-token-p95-ms", 200.0, "95th percentile of the times between tokens"),
    ("min-requests-per-second", 2.0, "requests of all kinds, over the whole test"),
)


def add_arguments(parser: LocustArgumentParser) -> None:
    """The shape is in a group to keep it out of locust's web form, since it is chosen before the page is up."""
    shape = parser.add_argument_group("Shape", "The shape of the load; closed uses --users and --run-time.")
    shape.add_argument("--shape", choices=SHAPES, default="closed", env_var="LOAD_SHAPE")
    for option, number, default, meaning in SHAPE_NUMBERS:
        shape.add_argument(
            f"--{option}", type=_positive(number), default=default, env_var=_variable(option), help=meaning
        )
    parser.add_argument("--seed", type=int, default=1, env_var="LOAD_SEED", help="for texts, languages and arrivals")
    parser.add_argument(
        "--repeats", type=_share, default=0.3, env_var="LOAD_REPEATS", help="share of texts that repeat earlier ones"
    )
    parser.add_argument(
        "--languages",
        type=_languages,
        default="en,de,fr,es,ja",
        env_var="LOAD_LANGUAGES",
        help="languages to translate between, separated by commas",
    )
    for option, limit, meaning in THRESHOLDS:
        parser.add_argument(f"--{option}", type=float, default=limit, env_var=_variable(option), help=meaning)


def chosen_shape(options: Namespace) -> LoadTestShape | None:
    if options.shape == "open":
        return OpenShape(run_seconds=options.run_time)
    if options.shape == "stepped":
        seconds = options.step_seconds or (options.run_time or options.steps * DEFAULT_STEP_SECONDS) / options.steps
        return SteppedShape(num_steps=options.steps, step_users=options.step_users, step_seconds=seconds)
    return None


def chosen_thresholds(options: Namespace) -> Thresholds:
    return Thresholds(
        failed_percent=options.max_failed_percent,
        plain_milliseconds=options.max_plain_p95_ms,
        first_token_milliseconds=options.max_first_token_p95_ms,
        token_milliseconds=options.max_token_p95_ms,
        requests_per_second=options.min_requests_per_second,
    )


def _variable(option: str) -> str:
    return f"LOAD_{option.replace('-', '_').upper()}"


def _languages(text: str) -> str:
    try:
        Traffic(read_phrases(), text.split(","), seed="", repeats=0.0)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _positive(number: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = number(text)
        if not value > 0:
            raise ArgumentTypeError(f"{text} is not greater than 0")
        return value

    parse.__name__ = number.__name__  # the name in argparse's error for a value that is not a number
    return parse
