"""Rendering: a model's text as harmless HTML and plain text. Pure functions, no I/O, no widgets."""
