"""The server: HTTP in, translations out; tensors only behind `service.engine.runner`."""
