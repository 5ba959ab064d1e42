"""How answers are shown: live while they arrive, and plain in the saved notebook."""
