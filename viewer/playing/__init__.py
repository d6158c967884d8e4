"""Playing: sessions, the playback clock, keys, human players, and attached runs."""
