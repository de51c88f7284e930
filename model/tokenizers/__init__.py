"""Text to token ids and back, by checkpoint family; language codes."""
