"""A contender's process: python -m benchmarks.contenders MODULE:FUNCTION OPTIONS CORES; see benchmarks/turns.py."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module, metadata
from typing import Any, TextIO

# by the name of their module
LIBRARIES = {
    **{name: name for name in ("torch", "numpy", "numba", "gymnasium", "jax", "envpool")},
    **{"ale_py": "ale-py", "stable_baselines3": "stable-baselines3", "sbx": "sbx-rl", "pygame": "pygame-ce"},
}


def main(build: str, options: str, cores: str) -> None:
    """Build the contender, then answer each line of the standard input."""
    if hasattr(os, "sched_setaffinity"):  # before any library starts threads
        os.sched_setaffinity(0, json.loads(cores))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    module, function = build.split(":")
    try:
        run = getattr(import_module(module), function)(**json.loads(options))
    except ImportError as error:
        answer(answers, {"missing": install(error)})
        return
    answer(answers, {"versions": versions()})
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        counts = run(json.loads(line)["seconds"])
        took = {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - wall}
        took |= {key: counts.pop(key) for key in took.keys() & counts.keys()}
        answer(answers, {**took, "counts": counts})
    sys.stdout.flush()
    os._exit(0)  # emulators and compilers have threads that outlive their use


def answer(file: TextIO, content: dict[str, Any]) -> None:
    """Write one line."""
    file.write(json.dumps(content) + "\n")
    file.flush()


def install(error: ImportError) -> str:
    """Return what to do about a library that is not there."""
    return f"{error.name or error} is not installed: pip install -e '.[bench]'"


def versions() -> dict[str, str]:
    """Return the versions of the libraries that were imported."""
    return {name: metadata.version(name) for module, name in LIBRARIES.items() if module in sys.modules}


if __name__ == "__main__":
    main(*sys.argv[1:])
