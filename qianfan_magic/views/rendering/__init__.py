"""Text of a model as harmless HTML and plain text; no I/O and no widgets."""
