"""Playing: sessions, clock, keys, people, and runs that are attached to."""
