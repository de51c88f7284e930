"""One command for a machine with a GPU: parity, guarantees, step times, throughput, a served load, and memory."""
