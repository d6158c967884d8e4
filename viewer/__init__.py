"""The window, its panels, films of it, and the human scores."""
