"""Self-contained pages: an agent that plays in a browser, recorded episodes with a scrubber."""
