"""What goes over the wire: one module for each version of the API, and the types of answers."""
