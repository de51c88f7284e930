"""The encoder cache: memory first, then Redis. Values are raw tensors behind a checked header."""
