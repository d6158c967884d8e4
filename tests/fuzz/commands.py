"""Wrong command lines for the programs, none of which may do more than to refuse them in one line."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence

import compare
import envs
from experiments import ablation_plan, command_line, sweeping
from learning.preflight import seconds_of
from tests.fuzz.mutate import ESCAPES
from viewer.options import hidden_panels
from viewer.options import read_command_line as read_play

# option -> values that it can't take
WRONG: dict[str, dict[str, tuple[str, ...]]] = {
    "train.py": {
        "--seed": ("x", "-1", "1e400", "1.5", "4294967296", "", "9" * 5_000, ESCAPES),
        "--gamma": ("nan", "2", "-0.1", "x", "1e999"),
        "--total-timesteps": ("0", "-5", "1e30", "k", "1,2,3"),
        "--num-envs": ("0", "1e9", "4097"),
        "--hidden": ("0", "x", "9999999", "16,x", "-1"),
        "--agent": ("dqm", "", "D Q N", ESCAPES, "a" * 5_000),
        "--preset": ("nope", ESCAPES),
        "--device": ("tpu", "0"),
        "--engine": ("steam",),
        "--threads": ("0", "-1", "many"),
        "--learning-rate": ("0", "nan", "fast"),
        "--budget": ("soon", "-5m", "0", "5 parsecs"),
        "--encoder": ("transformer",),
        "--evaluations": ("0", "x"),
        "--env-id": ("Nope-v9", "CartPole-v9", "ALE/Pnog-v5", "no.such.module:X-v0", "/", "..", "a" * 5_000, ESCAPES),
        "--import": ("no_such_module_here", "..", "a b"),
        "--env-kwargs": ("novalue", "=1", "a-b=1"),
    },
    "play.py": {
        "--seed": ("x", "-1", "1.5", "9" * 5_000),
        "--epsilon": ("2", "-1", "nan", "x"),
        "--speed": ("0", "1000", "fast"),
        "--episodes": ("0", "-1", "x"),
        "--steps": ("0", "x"),
        "--fps": ("0", "1e9", "x"),
        "--panels": ("nope", "q,nope", ESCAPES, "a" * 5_000),
        "--record": ("film.xyz", ".", "a" * 5_000 + ".mp4"),
    },
    "compare.py": {
        "--runs-dir": ("/nowhere/at/all", "/dev/null", "a" * 5_000, ESCAPES),
        "--format": ("xml", "", "Table"),
        "--plot": ("chart.xyz", "/dev/null/chart.png", "chart"),
        "--at-frames": ("x", "1", "-5", "9" * 40),
        "--games": ("Pnog", "", ",", ESCAPES),
        "--agents": ("dqm", "", ","),
        "--protocol": ("nope",),
        "--env-id": ("Nope-v9", "ALE/Pnog-v5", "..", "no.such.module:X-v0", "a" * 5_000),
        "": (
            "/proc/1/mem",
            "/dev/null",
            "/",
            "nope__x__1__2",
            ".",
            "..",
            "./",
            "/proc/1/*",
            "a" * 5_000,
            ESCAPES,
            "/root/../etc/passwd",
        ),
    },
    "ablate.py": {
        "--seeds": ("0", "x", "1e9"),
        "--parts": ("wings", "", "double,wings", ESCAPES),
        "--jobs": ("0", "x", "65"),
        "--plot": ("chart.xyz",),
        "--agent": ("dqm", "stream_q,dqn"),
        "--gamma": ("2", "nan"),
        "--seed": ("1",),
        "--resume": ("x",),
        "--env-id": ("Nope-v9", "ALE/Pnog-v5"),
    },
    "sweep.py": {
        "--seeds": ("0", "x", "3-1", "1-", "-1", "1,1e9", "", "9" * 5_000, ESCAPES),
        "--agents": ("dqm", "", ESCAPES, "a" * 5_000),
        "--presets": ("nope", ESCAPES),
        "--games": ("atari58", "", "Pong"),
        "--vary": (
            "learning-rate",
            "learning-rate=",
            "learning-rat=1e-3",
            "gamma=2",
            "gamma=nan",
            "=1",
            "n-step=1.5",
            ESCAPES,
        ),
        "--search": ("learning-rate=1e-2..1e-5", "gamma=0.9..2", "x=1..2", "double=yes..no", "learning-rate=0..1:log"),
        "--trials": ("0", "-1", "x", "1e9"),
        "--pruner": ("none at all", "Median"),
        "--jobs": ("0", "1025", "x"),
        "--plan": ("/nowhere/at/all", "/dev/null", "/proc/1/mem", "a" * 5_000, ESCAPES),
        "--status": ("/nowhere/at/all", "/dev/null", "a" * 5_000, ESCAPES),
        "--plot": ("chart.xyz", "/dev/null/chart.png"),
        "--row": ("1", "0", "x"),
        "--study": ("sqlite:///x.db",),
        "--slurm": ("/nowhere/at/all/x.sh",),
        "--gpus": ("1", "-1", "x"),
        "--gamma": ("2", "nan"),
        "--seed": ("1",),
        "--resume": ("x",),
        "": ("Nope-v9", "ALE/Pnog-v5", "..", "no.such.module:X-v0", "a" * 5_000, ESCAPES),
    },
}
PROGRAMS = tuple(WRONG)


def _train(words: Sequence[str]) -> None:
    """Read what `experiments.training.start` reads before it measures anything."""
    options, config = command_line.read_command_line(words)
    if options.budget is not None:
        seconds_of(options.budget)
    envs.keywords(config.env_kwargs)


def _play(words: Sequence[str]) -> None:
    """Read what `viewer.modes.play` reads, without the agent."""
    hidden_panels(read_play(words, None))


def _sweep(words: Sequence[str]) -> None:
    """Do what `experiments.sweeping.main` does, up to its plan, in this process and without its trainings."""
    sweeping.main(words, trainer=("false",), apart=False)


READ: dict[str, Callable[[Sequence[str]], object]] = {
    "train.py": _train,
    "play.py": _play,
    "compare.py": compare.main,
    "ablate.py": lambda words: ablation_plan.read_command_line(words, None),
    "sweep.py": _sweep,
}
SOUND = {
    "train.py": ["--seed", "3"],
    "play.py": ["--seed", "3"],
    "compare.py": [],
    "ablate.py": ["--seeds", "2"],
    "sweep.py": ["CartPole-v1"],
}


def wrong_line(program: str, rng: random.Random) -> list[str]:
    """Return the words of a command line with one thing wrong, sometimes after something right."""
    line = list(SOUND[program]) if rng.random() < 0.3 else []
    known = [option for option in WRONG[program] if option]
    what = rng.random()
    if what < 0.15:
        return [*line, "--" + "".join(rng.choices(string.ascii_lowercase + "-", k=rng.choice((8, 9, 2_000))))]
    if what < 0.3:
        option = rng.choice(known)
        place = rng.randrange(3, len(option))
        return [*line, option[:place] + rng.choice("qzx_") + option[place:], "1"]
    if what < 0.35:
        return [*line, rng.choice(known)]
    if what < 0.4:
        return [*line, "CartPole-v1", "too", "many", rng.choice((ESCAPES, "a" * 3_000, "-", "@"))]
    option = rng.choice(list(WRONG[program]))
    value = rng.choice(WRONG[program][option])
    if option and rng.random() < 0.3:
        return [*line, f"{option}={value}"]
    return [*line, *([option] if option else []), value]


def refused(program: str, words: Sequence[str]) -> None:
    """Let a program read its command line, which must raise a `UserError`."""
    READ[program](words)
    raise AssertionError("accepted")
