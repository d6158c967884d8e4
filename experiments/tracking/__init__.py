"""Tracking: a run sent to Weights & Biases, Trackio or MLflow while it trains, by a process beside it."""
