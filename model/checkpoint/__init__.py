"""Checkpoints on disk: configuration, families, weight names, loading, fingerprint, hub."""
