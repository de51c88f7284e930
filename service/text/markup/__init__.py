"""HTML and XML: the words of a text, and its markup, which comes through."""
