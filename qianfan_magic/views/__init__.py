"""Views: what a person sees of answers and reports, in a notebook or a terminal."""
