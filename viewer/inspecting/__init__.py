"""Looking inside: what the network computes for a moment, step by step and neuron by neuron."""
