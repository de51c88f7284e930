"""Deployment files. `deploy.ray` is the only Python package among them."""
