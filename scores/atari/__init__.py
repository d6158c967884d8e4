"""Human-normalised Atari scores: baselines, published agents, aggregates, tables and charts."""
