"""The same app on Ray Serve: past one machine, and many checkpoints over a few replicas.

Import it as `deploy.ray`, from the root of the repository. Never put `deploy/` itself on the path: this package would
take the place of Ray's own.
"""
