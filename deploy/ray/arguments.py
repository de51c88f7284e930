"""What `serve run deploy.ray.app:build` takes as NAME=VALUE, and a Serve configuration as `args`.

What is here is Ray's. The app's own settings are `KAKEHASHI_` variables in the environment of the replicas, as always.
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, TypeAdapter

from deploy.ray.checkpoint_routes import BUNDLED, ListedCheckpoint


class Arguments(BaseModel):
    """`checkpoints` is a list, or the path of a YAML or JSON file that holds one.

    A replica runs a worker process for each whole CPU of `num_cpus`, for each checkpoint that it holds. Serve keeps a
    checkpoint where it is until its replica has `max_ongoing_requests`: far above the target, what the autoscaler adds
    would stand idle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: list[ListedCheckpoint] | str = [BUNDLED]
    max_models_per_replica: PositiveInt = 4
    min_replicas: PositiveInt = 1
    max_replicas: PositiveInt = 4
    target_ongoing_requests: PositiveFloat = 32
    max_ongoing_requests: PositiveInt = 48
    max_queued_requests: PositiveInt = 1000
    num_cpus: float = Field(1, ge=0)
    num_gpus: float = Field(0, ge=0)
    ingress_replicas: PositiveInt = 1
    ingress_num_cpus: float = Field(0.5, ge=0)

    def read_checkpoints(self) -> list[ListedCheckpoint]:
        """Raises OSError and pydantic's ValidationError for a file that cannot be used."""
        if not isinstance(self.checkpoints, str):
            return self.checkpoints
        listed = yaml.safe_load(Path(self.checkpoints).read_text(encoding="utf-8"))
        return TypeAdapter(list[ListedCheckpoint]).validate_python(listed)
