"""What runs.py does: list, show, prune and export runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from common.commands import command, typed
from common.errors import UserError
from common.text import number_of
from common.waiting import waiting
from experiments import run_files
from experiments.run_options import Options
from experiments.run_status import Status, processes
from experiments.run_table import details, print_runs, size_text
from experiments.tracking import beside, record
from experiments.tracking.tracker import NAMES, Unavailable, check_installed

WIDE = 160  # columns, where there is no terminal


def manage(options: Options) -> int:
    """Do what the options ask for; return 0, or 1 where a person said no or what was exported is damaged."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    if options.command == "prune":
        return prune(options, console)
    if options.command == "export":
        return export(options)
    if options.command == "track":
        return track(options)
    if options.command == "show":
        run = options.one()
        if options.format == "table":
            console.print(details(run))
        else:
            print_runs([run], options.format, console)
        return 0
    runs = options.selected()
    if not runs and options.format == "table":
        print("no such run" if options.narrowed else "no runs here yet; train one: python train.py")
        return 0
    print_runs(runs, options.format, console)
    return 0


def prune(options: Options, console: Console, ask: Callable[[str], str] = input) -> int:
    """Remove files of runs, after the question whether to; return 0, or 1 where the answer was no."""
    if not options.narrowed:
        raise UserError("python runs.py prune needs runs, or what they have in common, such as --state finished")
    runs = options.selected()
    if busy := [run for run in runs if run.state == "running"]:
        pid = processes(busy[0].path)
        stop = f" (kill -INT {pid[0]} stops it)" if pid else ""
        if options.names or len(busy) == len(runs):
            raise UserError(f"{busy[0].path} is being trained{stop}; nothing was removed")
        runs = [run for run in runs if run.state != "running"]
        print(f"{len(busy)} running, left alone")
    found = [(run, *run_files.removable(run.path, options.whole)) for run in runs]
    found = [one for one in found if one[1]]
    if not found:
        print("nothing to remove")
        return 0
    for run, files, size in found:
        print(f"  {run.path}  {run.state}, {number_of(files, 'file')}, {size_text(size)}")
    print(_what(options, [run for run, _, _ in found], sum(size for _, _, size in found)))
    if not options.yes and not _agreed(ask):
        print("nothing was removed")
        return 1
    freed = 0
    for run, _, size in found:
        left = run_files.prune(run.path, options.whole)
        freed += size
        if left:
            print(f"{run.path}: left are {', '.join(left)}, which the run did not make")
    print(f"removed, {size_text(freed)} freed")
    return 0


def _what(options: Options, runs: list[Status], size: int) -> str:
    """Return in a line what will be lost."""
    many = number_of(len(runs), "run")
    if options.whole:
        return f"this removes {many} altogether, agents and scores too: {size_text(size)}"
    resumable = sum(run.can_resume for run in runs)
    lost = f"; {resumable} of them can't be resumed then" if resumable else ""
    return f"this removes from {many} what resuming and extending need, {size_text(size)}; agents and scores stay{lost}"


def _agreed(ask: Callable[[str], str]) -> bool:
    if ask is input and not sys.stdin.isatty():
        raise UserError("nobody is here to ask; --yes removes without a question")
    try:
        return ask("remove? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def export(options: Options) -> int:
    """Pack a run into a zip file, and print how it is played from there; return 0, or 1 where the run is damaged."""
    run = options.one()
    path = options.out or Path(f"{run.path.resolve().name}.zip")
    count = run_files.export(run.path, path, options.with_state, options.overwrite)
    print(f"{path}: {number_of(count, 'file')}, {size_text(path.stat().st_size)}")
    if run.state == "damaged":
        print(f"note: {run.path} is damaged, and packed as it is: {run.why}")
        return 1
    if (run.path / "agent").is_dir():
        unpack = typed("python", "-m", "zipfile", "-e", path, ".")
        print(f"unpack and play it:  {unpack} && {command('play.py', run.path.resolve().name)}")
    return 0


def track(options: Options) -> int:
    """Send a run to a tracker, or what is missing there; return 0."""
    run = options.one()
    if run.state == "running":
        raise UserError(f"{run.path} is being trained; add --track to its train.py, or wait for its end")
    known = record.read(run.path)
    name = options.track or (known.tracker if known else None)
    if name is None:
        raise UserError(f"{run.path} was not tracked before; say where: --track {' or '.join(NAMES)}")
    try:
        check_installed(name)
    except Unavailable as error:
        raise UserError(str(error)) from None
    if known is None or known.tracker != name:
        record.write(run.path, record.Record(name))
    said: list[str] = []
    with waiting("sending it"):
        sent = beside.send(run.path, name, said.append)
    if not sent:
        notes = [line.removeprefix("note: ").split("; later: ")[0] for line in said if line.startswith("note: ")]
        raise UserError("; ".join(notes))  # why, and what that means
    print("\n".join([*said, "all of it is there now"]))
    return 0
