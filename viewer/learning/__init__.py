"""Learning in the window: an online learner, its config and its controls."""
