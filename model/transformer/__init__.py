"""The forward pass: layers, attention, positions, linear layers, KV cache, compute types."""
