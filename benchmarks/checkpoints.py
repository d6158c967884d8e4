"""What it costs to save the state of a run with a full Atari replay, and to resume from it.

    python benchmarks/checkpoints.py                     # 1,000,000 transitions: 7 GB of memory, 8 GB of disk, minutes
    python benchmarks/checkpoints.py --capacity 50000

Frames are random, so that nothing compresses. Between two states come as many transitions as five minutes of training
bring at --steps-per-second; writing ahead happens while they come, as in training.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agents import recipe  # noqa: E402
from learning import checkpoint  # noqa: E402
from learning.config import numpy_generator  # noqa: E402
from learning.learner import Learner  # noqa: E402
from learning.replay import ReplayExperience  # noqa: E402
from learning.states import States  # noqa: E402

SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)
PERIOD = 300.0  # seconds between two states
ENVS = 8


def make(capacity: int) -> tuple[Learner, ReplayExperience]:
    """Return the learner and replay of prioritized DQN, whose priorities are a part of the state."""
    agent = recipe("prioritized_dqn")
    settings = {**agent.presets["paper"].settings, "num_envs": ENVS, "capacity": capacity}
    config: Any = agent.config(**settings)
    learner = Learner(agent, config, SPACE, 6, 1)
    rng = numpy_generator(1, "replay")
    return learner, ReplayExperience(config, SPACE, 4, rng, "cpu", None, lambda obs: np.zeros(len(obs)))


def play(experience: ReplayExperience, steps: int, states: States | None, rng: np.random.Generator) -> float:
    """Take so many agent steps, and return the seconds that writing ahead stopped them."""
    frames = rng.integers(0, 256, (97, ENVS, *SPACE.shape), np.uint8)
    stopped = 0.0
    for step in range(steps // ENVS):
        obs = frames[step % len(frames)]
        experience.add(rng.integers(0, 6, ENVS), np.zeros(ENVS), np.full(ENVS, 0.99), obs)
        if states is not None:
            began = time.perf_counter()
            experience.write_ahead(states)
            stopped += time.perf_counter() - began
            states._writer.submit(int).result()  # in training there is a minute for it
    return stopped


def save(states: States, learner: Learner, experience: ReplayExperience) -> tuple[float, float]:
    """Save a state; return for how many seconds training stops, and after how many it is on the disk."""
    began = time.perf_counter()
    into = states.begin()
    checkpoint.save_learner(into, learner)
    experience.save(into)
    into.add_json("counters.json", {"agent_steps": experience.steps})
    states.save(into)
    pause = time.perf_counter() - began
    states.wait()
    return pause, time.perf_counter() - began


def measure(capacity: int, steps_per_second: float, folder: Path) -> dict[str, Any]:
    """Return seconds and sizes: of three states of a full replay, and of loading the last."""
    rng = np.random.default_rng(0)
    learner, experience = make(capacity)
    experience.reset(rng.integers(0, 256, (ENVS, *SPACE.shape), np.uint8))
    play(experience, capacity + 1_000, None, rng)
    states = States(folder / "state")
    save(states, learner, experience)  # all of it
    fresh = int(min(PERIOD * steps_per_second, capacity))
    rows = []
    for _ in range(3):
        cpu = time.process_time()
        ahead = play(experience, fresh, states, rng)
        pause, written = save(states, learner, experience)
        rows.append((ahead, pause, written, time.process_time() - cpu))
    size = sum(path.stat().st_size for path in (folder / "state").rglob("*") if path.is_file())
    replay = experience.bytes_needed(experience.config, SPACE, 4)
    states.close()
    del experience
    learner, experience = make(capacity)
    began = time.perf_counter()
    again = States(folder / "state")
    saved = again.find()
    assert saved is not None
    checkpoint.load_learner(saved, learner, 0)
    experience.load(saved, again)
    ahead, pause, written, _ = (float(np.median(column)) for column in zip(*rows, strict=True))
    return {
        "transitions": capacity,
        "new_transitions": fresh,
        "replay_gb": round(replay / 1e9, 2),
        "disk_per_replay": round(size / replay, 3),
        "pause_s": round(pause, 3),
        "ahead_s": round(ahead, 3),
        "share_of_time": round((pause + ahead) / PERIOD, 5),
        "written_after_s": round(written, 2),
        "resume_s": round(time.perf_counter() - began, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capacity", type=int, default=1_000_000)
    parser.add_argument(
        "--steps-per-second", type=float, default=300.0, help="of training; Nature DQN on a CPU has 300"
    )
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: a temporary one")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(measure(options.capacity, options.steps_per_second, Path(folder)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
