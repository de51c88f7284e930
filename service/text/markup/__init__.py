"""HTML and XML: the words of a text are translated, and its markup is preserved."""
