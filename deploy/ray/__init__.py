"""The app on Ray Serve, for more than one machine and for many checkpoints on a few replicas.

Import it as `deploy.ray`, from the root of the repository. Never put `deploy/` on the path: this package would shadow
Ray's own.
"""
