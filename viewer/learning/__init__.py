"""Learning in the window: an agent that learns online, and its controls."""
