"""Settings and credentials from the environment and ``.env``."""
