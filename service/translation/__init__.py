"""Turn requests into sentences, sentences into decodes, and the events of decodes into text."""
