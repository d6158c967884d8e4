"""Train an agent: `python train.py [ENV_ID] --agent dqn --total-timesteps N ...`; `--help` lists all options."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from agents.catalogue import print_catalogue
from common.cli import run
from common.errors import UserError
from experiments.command_line import read_command_line
from experiments.training import open_window, print_line, report, resume, start, train


def main(argv: Sequence[str]) -> int:
    """Train as the command line says; return 0, or 130 when stopped by Ctrl-C."""
    console = Console()
    if "--list" in argv:
        print_catalogue(console)
        return 0
    options, config = read_command_line(argv)
    allowed = ("--resume", "--watch", "--no-watch")
    others = [word for word in argv if word.startswith("--") and word.split("=")[0] not in allowed]
    if options.resume and others:
        raise UserError(f"--resume continues with the run's own settings; leave out {', '.join(others)}")
    trainer = resume(options.resume, console) if options.resume else start(options, config, console)
    if options.watch:
        open_window(trainer)
    if not train(trainer, console):
        print_line(console, f"stopped at {trainer.agent_steps:,} agent steps; everything is saved. Resume with")
        print_line(console, f"  python train.py --resume {trainer.run_folder.path}")
        return 130
    report(trainer, console)
    return 0


if __name__ == "__main__":
    run(main)
