"""The sequence-to-sequence transformer: configuration, weights, forward passes, search; nothing of the service."""
