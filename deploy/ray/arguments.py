"""The arguments of `serve run deploy.ray.app:build`, as NAME=VALUE, or as `args` of a Serve configuration.

They configure Ray. The app's own settings are `KAKEHASHI_` variables in the environment of the replicas, as always.
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, TypeAdapter

from deploy.ray.checkpoint_routes import BUNDLED, ListedCheckpoint


class Arguments(BaseModel):
    """`checkpoints` is a list, or the path of a YAML or JSON file that holds one.

    A replica runs a worker process for each whole CPU of `num_cpus` and each checkpoint that it holds. Serve routes to
    the replica that holds a checkpoint until it has `max_ongoing_requests`. If that is far above the target, replicas
    that the autoscaler adds stay idle.
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
