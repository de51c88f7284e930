"""The decode step on a GPU: its memory, its kernels, the graphs that replay it, and turns read one turn behind."""
