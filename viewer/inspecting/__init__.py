"""Inspecting a network: what it computes for a moment, from the observation to each neuron."""
