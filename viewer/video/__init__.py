"""Films and pictures of what the window shows."""
