"""Scoring a checkpoint's translations: `kakehashi evaluate`."""
