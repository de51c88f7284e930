"""Choosing tokens: greedy, sampling, beams, and the rules on logits."""
