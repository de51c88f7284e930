"""The Serve application: `serve run deploy.ray.app:build`, or `serve.yaml` beside this file."""

from ray import serve
from ray.serve import Application
from ray.serve.schema import LoggingConfig

from deploy.ray.arguments import Arguments
from deploy.ray.checkpoint_host import CheckpointHost
from deploy.ray.ingress import CHECKPOINT_HOST, Ingress
from service.settings import load_settings

QUIET = LoggingConfig(enable_access_log=False)
"""Switched off, because Serve would log every request twice."""


def build(arguments: Arguments) -> Application:
    """Raises SettingsError, and the errors of `Arguments.read_checkpoints`."""
    settings = load_settings()
    # Requests have deadlines, so they end before Serve kills a replica that it removes.
    shutdown_seconds = settings.timeout_seconds + settings.grace_seconds
    host = serve.deployment(
        name=CHECKPOINT_HOST,
        autoscaling_config={
            "min_replicas": arguments.min_replicas,
            "max_replicas": arguments.max_replicas,
            "target_ongoing_requests": arguments.target_ongoing_requests,
        },
        max_ongoing_requests=arguments.max_ongoing_requests,
        max_queued_requests=arguments.max_queued_requests,
        ray_actor_options={"num_cpus": arguments.num_cpus, "num_gpus": arguments.num_gpus},
        graceful_shutdown_timeout_s=shutdown_seconds,
        logging_config=QUIET,
    )(CheckpointHost)
    ingress = serve.deployment(
        name="Ingress",
        num_replicas=arguments.ingress_replicas,
        max_ongoing_requests=arguments.max_queued_requests + arguments.max_replicas * arguments.max_ongoing_requests,
        ray_actor_options={"num_cpus": arguments.ingress_num_cpus},
        graceful_shutdown_timeout_s=shutdown_seconds,
        logging_config=QUIET,
    )(Ingress)
    return ingress.bind(host.bind(max_models=arguments.max_models_per_replica), arguments.read_checkpoints())
