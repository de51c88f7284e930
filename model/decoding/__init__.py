"""The running batch, offline generation, and the oracle the tests compare with."""
