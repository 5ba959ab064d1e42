"""Images for a request, from variables and files of the notebook."""
