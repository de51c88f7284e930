"""Helpers shared by test modules: checkpoints, tokenizers, servers, clients."""
