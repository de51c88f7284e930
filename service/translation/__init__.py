"""Requests to sentences, sentences to decodes, and their events back to text."""
