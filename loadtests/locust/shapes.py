"""The number of users over time: the values of `--shape` besides the closed loop of `--users`.

A locustfile must not import these: locust would use any shape that it finds there. The option sets them.
"""

from locust import LoadTestShape


class SteppedShape(LoadTestShape):
    """Adds `step_users` users at the start of every step."""

    def __init__(self, *, num_steps: int, step_users: int, step_seconds: float) -> None:
        super().__init__()
        self._num_steps = num_steps
        self._step_users = step_users
        self._step_seconds = step_seconds

    def tick(self) -> tuple[int, float] | None:
        step = int(self.get_run_time() // self._step_seconds)
        if step >= self._num_steps:
            return None
        return (step + 1) * self._step_users, float(self._step_users)


class OpenShape(LoadTestShape):
    """One user, which sends every request when it is due. `run_seconds` None: until stopped."""

    def __init__(self, *, run_seconds: float | None) -> None:
        super().__init__()
        self._run_seconds = run_seconds

    def tick(self) -> tuple[int, float] | None:
        if self._run_seconds is not None and self.get_run_time() >= self._run_seconds:
            return None
        return 1, 1.0
