"""Our own CPU kernels: the C++ sources, their bindings, and whole stacks of layers as one call."""
