"""Text before and after the model: sentence boundaries, and sentences that are too long."""
