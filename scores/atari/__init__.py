"""Atari against humans: normalised scores, published agents, tables and charts."""
