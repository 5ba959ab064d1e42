"""Requests over HTTP: authentication, tokens, retries, and how responses are read."""
