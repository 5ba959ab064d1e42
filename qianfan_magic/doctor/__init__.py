"""Diagnose settings, credentials, network and front end; `examine` runs every check."""
