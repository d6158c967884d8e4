"""A stub in place of train.py: it writes a run folder in milliseconds, or fails, waits or dies as a test says."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.plan import Entry, Plan

STUB = """
import csv, json, os, signal, sys, time
from pathlib import Path
words = sys.argv[1:]
with open(os.environ["STUB_CALLS"], "a") as file:
    file.write(json.dumps(words) + "\\n")
resumed = words[0] == "--resume"
if resumed:
    run = Path(words[1])
    about = json.loads((run / "config.json").read_text())
    env_id, agent, seed, total = about["env_id"], about["agent"], about["seed"], about["config"]["total_timesteps"]
else:
    value = dict(zip(words, words[1:]))
    env_id, agent, seed = words[0], value["--agent"], int(value["--seed"])
    total = int(value.get("--total-timesteps", 600))
    run = Path(value["--runs-dir"]) / f"{env_id.replace('/', '-')}__{agent}__{seed}__{time.time_ns()}"
    run.mkdir()
    names = [word[2:].replace("-", "_") for word in words if word.startswith("--")]
    rate = float(value.get("--learning-rate", 0))
    about = {"env_id": env_id, "agent": agent, "seed": seed, "preset": value.get("--preset", "")}
    about |= {"config": {"total_timesteps": total, "learning_rate": rate}, "eval_episodes": 2, "evaluations": 2}
    about |= {"estimate": {"steps_per_second": 100.0, "episode_seconds": 1.0}}
    (run / "config.json").write_text(json.dumps({"format": 1, **about}))
rate = about["config"]["learning_rate"]
(run / "metrics.csv").write_text(f"agent_steps,wall_s,episodic_return,eval_return\\n{total // 2},5,7.5,\\n")
state = run / "state"
score = 100 * seed + rate + float(os.environ.get('STUB_BONUS', 0))
columns = "env_id agent seed agent_steps frames episode episode_return episode_length epsilon protocol".split()
def evaluate(steps):
    new = not (run / "eval.csv").exists()
    with (run / "eval.csv").open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(columns)
        common = [env_id, agent, seed, steps, steps]
        writer.writerows([*common, episode, score, 9, 0.0, "default"] for episode in range(2))
what = json.loads(os.environ.get("STUB", "{}")).get(f"{agent}/{seed}")
if what == "fail":
    print("Traceback ...")
    sys.exit("error: the loss became nan")
if what == "die":
    os.kill(os.getpid(), signal.SIGKILL)
evaluate(total // 2)
if what in ("wait", "hang") and not resumed:
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    with open(os.environ["STUB_CALLS"] + ".waiting", "a") as file:
        file.write(f"{os.getpid()}\\n")
    while not received or (what == "hang" and len(received) < 2):
        time.sleep(0.02)
    state.mkdir()
    (state / "counters.json").write_text("{}")
    print(len(received), "signals")
    sys.exit(128 + received[0])
time.sleep(float(os.environ.get("STUB_SECONDS", 0)))
evaluate(total)
"""


class Stub:
    """The command of a stub, and the command lines that it was called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.calls_file, self.monkeypatch = folder, folder / "calls", monkeypatch
        self.waiting = folder / "calls.waiting"
        script = folder / "stub.py"
        script.write_text(STUB)
        self.command = [sys.executable, str(script)]
        monkeypatch.setenv("STUB_CALLS", str(self.calls_file))

    def behave(self, **what: str) -> None:
        """Say which runs do not simply finish: dqn__2="fail"; forget what was called."""
        self.calls_file.unlink(missing_ok=True)
        self.monkeypatch.setenv("STUB", json.dumps({key.replace("__", "/"): one for key, one in what.items()}))

    @property
    def calls(self) -> list[list[str]]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    return Stub(tmp_path, monkeypatch)


def plan_of(out: Path, agents: Sequence[str] = ("dqn",), seeds: Sequence[int] = (1, 2)) -> Plan:
    """Return a plan of CartPole runs of 600 agent steps."""
    settings = {"total_timesteps": 600}
    entries = [Entry("CartPole-v1", agent, "control", settings, seed=seed) for seed in seeds for agent in agents]
    return Plan(out, tuple(entries))
