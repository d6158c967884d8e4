"""Speed and other measurements, each a script of its own: `python benchmarks/NAME.py --help`."""
