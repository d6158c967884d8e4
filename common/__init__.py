"""What every part needs and no part owns: errors for people, settings with ranges, safe files."""
