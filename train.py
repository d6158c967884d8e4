"""Train an agent: `python train.py [ENV_ID] --agent dqn --total-timesteps N ...`; `--help` lists all options."""

from __future__ import annotations

from common.program import end_imports, outlive_output, run  # first: from here on Ctrl-C ends it with one line

# isort: split
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial

from common.commands import command
from common.errors import UserError
from common.signals import end_with_parent
from common.text import number_of
from common.waiting import waiting


def main(argv: Sequence[str]) -> int:
    """Train as the command line says; return 0, or 128 + a signal's number when it stopped that: 130 for Ctrl-C."""
    began = time.monotonic()
    end_with_parent()
    # --print-config prints JSON and nothing else
    with waiting("loading PyTorch", partial(print, file=sys.stderr) if "--print-config" in argv else None):
        # here, so that there is a line where it takes long: 1.2 s, from a cold disk 10 s and more
        from rich.console import Console

        from agents.catalogue import print_catalogue
        from experiments import resuming, training
        from experiments.command_line import asked, given, printed, read_command_line, wants_many, with_resume
    end_imports()
    console = Console()
    if "--list" in argv:
        print_catalogue(console)
        return 0
    if wants_many(argv):
        from experiments import sweeping  # with SciPy and matplotlib

        return sweeping.main(argv)
    options, config = read_command_line(argv)
    if options.print_config:
        if options.budget is not None:
            raise UserError("--print-config does not know what --budget makes of the settings; leave one of them out")
        print(printed(options, config))
        return 0
    if options.resume and (others := with_resume(argv)):
        raise UserError(f"--resume continues with the run's own settings; leave out {', '.join(others)}")
    if options.verify is not None:
        from experiments.verifying import verify  # seldom needed

        wanted = resuming.named(options.verify, "--verify", options.runs_dir)
        return 0 if verify(wanted, console, options.verify_steps) else 1
    extends = "total_timesteps" in given(argv)
    if options.rescale and not (options.resume and extends):
        raise UserError("--rescale belongs to --resume RUN --total-timesteps N")
    outlive_output()
    if options.resume:
        total = config.total_timesteps if extends else None
        wanted = resuming.named(options.resume, "--resume", options.runs_dir)
        trainer = resuming.resume(wanted, console, total, options.rescale, options.cluster)
    else:
        trainer = training.start(options, config, console, asked(argv, options), began)
    if options.watch:
        training.open_window(trainer)
    if not training.train(trainer, console, options.track):
        training.print_line(
            console, f"stopped at {number_of(trainer.agent_steps, 'agent step')}; everything is saved. Resume with"
        )
        training.print_line(console, f"  {command('train.py', '--resume', trainer.run_folder.path)}")
        return 128 + (trainer.stop_signal or signal.SIGINT)
    training.report(trainer, console)
    return 0


if __name__ == "__main__":
    run(main)
