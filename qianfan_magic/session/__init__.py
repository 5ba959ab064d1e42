"""What one notebook holds, and the way of one cell's request and answer."""
