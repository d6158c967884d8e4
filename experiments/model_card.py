"""What is put on the hub for a run: its agent, settings and scores, a card, a learning curve and a film."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import ROOT, write_bytes, write_json
from common.reading import read_file, read_json
from common.text import shown, significant, time_text
from common.waiting import waiting
from experiments.planned import wall_seconds
from experiments.run_files import agent_files
from scores.runs import Run, read_run
from scores.stats import Interval, student_interval

FILM_STEPS, FILM_STEPS_ATARI = 300, 120  # 9 s of a world, 8 s of a game
FILM_SECONDS = 600.0  # that making one may take
TABLES = ("eval.csv", "metrics.csv")
TABLE_BYTES = 50_000_000
Say = Callable[[str], None]


def write(run: Path, repo_id: str, folder: Path, say: Say, film: bool = True) -> None:
    """Write all of it into a folder.

    Args:
        run: its folder.
        repo_id: ``OWNER/NAME``.
        folder: where it goes.
        say: tells a person something.
        film: make one.

    Raises:
        UserError: the run has no agent, was not evaluated, or is damaged.
        OSError: the folder can't be written.
    """
    files = agent_files(run / "agent", "agent/")
    if not files:
        raise UserError(f"{run}: no agent here yet (a run saves one at its first evaluation)")
    found, warnings = read_run(run)
    if found is None:
        raise UserError(f"{run}: it has no evaluation yet, so nothing can be said of it")
    for warning in warnings:
        say(f"warning: {warning}")
    manifest = json.loads(files["agent/manifest.json"])
    if manifest.get("env_id") != found.env_id:
        raise UserError(f"{run}: its agent is one of {shown(str(manifest.get('env_id')), 60)}, not of {found.env_id}")
    for name, data in files.items():
        write_bytes(folder / name, data)
    for name in TABLES:
        if os.path.lexists(run / name):
            write_bytes(folder / name, read_file(run / name, TABLE_BYTES))
    about = _about(run)
    write_json(folder / "config.json", about)
    with waiting("drawing the learning curve"):
        curve = _curve(found, folder)
    pictures = [*curve, *(_films(run, found.env_id, folder, say) if film else [])]
    write_bytes(folder / "README.md", card(found, about, repo_id, pictures, wall_seconds(run)).encode())


def _about(run: Path) -> dict[str, Any]:
    """Return a run's ``config.json`` without the places on this machine that are in it."""
    about = read_json(run / "config.json")
    if not isinstance(about, dict):
        raise UserError(f"{run / 'config.json'}: damaged, it is no object")
    if isinstance(source := about.get("from"), dict) and "path" in source:
        about["from"] = {**source, "path": Path(str(source["path"])).name}
    return about


def _curve(run: Run, folder: Path) -> list[str]:
    from scores import curves  # with matplotlib

    try:
        curves.save([run], folder / "curve.png")
    except UserError:  # it was evaluated once
        return []
    return ["curve.png"]


def _films(run: Path, env_id: str, folder: Path, say: Say) -> list[str]:
    """Make a film as a GIF, for the card, and as an MP4, which the hub's page plays; by play.py, which draws it."""
    names = ["replay.gif"] + (["replay.mp4"] if find_spec("imageio_ffmpeg") is not None else [])
    steps, made = str(FILM_STEPS_ATARI if env_id.startswith("ALE/") else FILM_STEPS), []
    for name in names:
        words = [str(run), "--record", str(folder / name), "--steps", steps, "--seed", "1", "--overwrite"]
        try:
            why = _play(words, f"filming {name}")
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why or not (folder / name).exists():
            say(f"note: no {name}: {shown(why, 200)}")
            continue
        made.append(name)
    return made


def _play(words: list[str], doing: str) -> str:
    """Run play.py, with its bar where there is a terminal; return why it failed; empty: it did not."""
    bar = sys.stderr is not None and sys.stderr.isatty()
    with nullcontext() if bar else waiting(doing):
        done = subprocess.run(
            [sys.executable, str(ROOT / "play.py"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if bar else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=FILM_SECONDS,
        )
    if done.returncode == 0:
        return ""
    lines = (done.stderr or "").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"play.py ended with {done.returncode}"


# ------------------------------------------------------------------ the card


def card(run: Run, about: dict[str, Any], repo_id: str, pictures: list[str], seconds: float | None) -> str:
    """Return the card: its head in the hub's own form, then text.

    Args:
        run: with its last evaluation.
        about: its ``config.json``.
        repo_id: ``OWNER/NAME``.
        pictures: the names of those that were made.
        seconds: that the training took; None: unknown.
    """
    score = student_interval([one.episode_return for one in run.episodes])
    environment, title = run.env_id.split("/")[-1], shown(run.title, 60)
    protocol = run.episodes[0].protocol
    lines = [f"# {title} in {environment}", ""]
    lines += [f"![the agent plays {environment}](replay.gif)", ""] if "replay.gif" in pictures else []
    lines += [
        "Trained and evaluated with Tidepool, a deep reinforcement learning playground. Where that is installed,"
        " this plays it:",
        *("", "```", f"python play.py hf:{repo_id}", "```", ""),
        *("## Score", "", *_table(run, score, protocol), ""),
        "The mean return of the last evaluation, with the 95 % interval of Student's t distribution over its episodes:"
        " it is for this one network, not for the algorithm.",
    ]
    if not run.finished:
        lines += ["", f"Not trained to its end: {run.agent_steps:,} of {run.planned_steps:,} agent steps."]
    if run.notes:
        lines += ["", *(f"- {_plain(note)}" for note in run.notes)]
    if "curve.png" in pictures:
        lines += ["", "## Learning curve", "", "![mean return over the training](curve.png)"]
    lines += ["", "## How it was trained", "", *_training(run, about, seconds), ""]
    return _head(run, score, protocol, repo_id) + "\n".join(lines)


def _table(run: Run, score: Interval, protocol: str) -> list[str]:
    interval = " to ".join(significant(end, 4) for end in score.ci95) if score.ci95 else "-"
    epsilon = run.episodes[0].epsilon
    cells = {
        "environment": run.env_id,
        "protocol": protocol,
        "episodes": f"{len(run.episodes)}",
        "mean return": significant(score.mean, 4),
        "95 % interval": interval,
        "random actions": "?" if epsilon is None else f"{epsilon:.3g}",
        "agent steps": f"{run.agent_steps:,}",
        **({"emulator frames": f"{run.frames:,}"} if run.env_id.startswith("ALE/") else {}),
        "seed": str(run.seed),
    }
    escaped = [shown(value, 100).replace("|", "\\|") for value in cells.values()]
    return [f"| {' | '.join(cells)} |", "|" + "---|" * len(cells), f"| {' | '.join(escaped)} |"]


def _training(run: Run, about: dict[str, Any], seconds: float | None) -> list[str]:
    versions, hardware = about.get("versions"), about.get("hardware")
    facts = [
        f"agent {run.agent}, preset {run.preset or '?'}, seed {run.seed}",
        f"commit {about.get('commit') or '?'} of Tidepool",
        *([f"in {time_text(seconds)}, evaluations included, on {about.get('processor', '?')}"] if seconds else []),
        *([", ".join(f"{key} {value}" for key, value in versions.items())] if isinstance(versions, dict) else []),
        *([", ".join(f"{key} {value}" for key, value in hardware.items())] if isinstance(hardware, dict) else []),
    ]
    again = "All settings are in `config.json`, which trains it again: `python train.py --config config.json`"
    return [*(f"- {_plain(fact)}" for fact in facts), "", again]


def _plain(text: str) -> str:
    """Return a text from a file without what Markdown or HTML would make of it."""
    return shown(text, 300).translate({ord(one): None for one in "<>`[]"})


def _head(run: Run, score: Interval, protocol: str, repo_id: str) -> str:
    """Return the head of the card, with the score in the form that the hub's pages and leaderboards read."""
    from common.hub import library

    hub = library()
    half = (score.ci95[1] - score.ci95[0]) / 2 if score.ci95 else None
    value = f"{score.mean:.2f}" + (f" +/- {half:.2f}" if half is not None else "")
    result = hub.EvalResult(
        task_type="reinforcement-learning",
        task_name="reinforcement-learning",
        dataset_type=run.env_id,
        dataset_name=run.env_id,
        dataset_args={"protocol": protocol, "episodes": len(run.episodes)},
        metric_type="mean_reward",
        metric_value=value,
        metric_name="mean return, and half the 95 % interval",
    )
    tags = [run.env_id.split("/")[-1], "deep-reinforcement-learning", "reinforcement-learning", run.agent, "tidepool"]
    data = hub.ModelCardData(
        model_name=repo_id.split("/")[1],
        library_name="tidepool",
        pipeline_tag="reinforcement-learning",
        tags=list(dict.fromkeys(tags)),
        eval_results=[result],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"
