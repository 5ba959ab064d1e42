"""Many requests: kept within the limits of the service, in parallel, and not lost."""
