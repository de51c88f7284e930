"""The running batch, CUDA graphs of its step, offline generation, and the oracle the tests compare with."""
