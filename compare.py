"""Compare your runs with human players, published agents and reference scores."""

from __future__ import annotations

from common.program import end_imports, run  # first: from here on Ctrl-C ends it with one line

# isort: split
import os
import shutil
import sys
from collections.abc import Sequence

from common import cli, imports
from common.errors import MOST, UserError
from common.output import HTML, check_output
from common.text import shown
from experiments.compare_options import Options


def main(argv: Sequence[str]) -> None:
    """Print the comparison; warnings go to stderr, so that stdout is the table and nothing else."""
    options = cli.parse(Options, argv, prog="compare.py", description=__doc__)
    if not os.path.isdir(options.runs_dir) and options.runs_dir != Options.runs_dir:
        raise UserError(f"--runs-dir {options.runs_dir}: no such folder")
    # here: --help and typos should not wait for SciPy, matplotlib
    from scores import chart, curves, figure, selection, table, versus
    from scores.atari.normalization import game_of

    end_imports()
    for option, path in (("--plot", options.plot), ("--curves", options.curves)):
        if path is not None:
            chart.check_path(path, option)
    atari = options.agents, options.at_frames, options.games, options.protocol, options.mix_protocols
    if options.report is not None:
        if options.versus:
            raise UserError("--report shows all runs; leave --versus out")
        check_output("--report", options.report, HTML, overwrite=True)
    imports.load(options.imports)
    env_id = options.env_id
    if env_id is not None and not game_of(env_id):  # ALE/Pong-v5 is a full id, and must not need the emulator
        import envs  # here, because it takes a second

        env_id = envs.resolve_typed(env_id)
    wanted = env_id, selection.atari_selection(*atari)
    names = (*options.folders, *options.runs)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if options.versus:
        sides = [selection.runs_named(side, options.runs_dir) for side in (names, options.versus)]
        print(versus.as_format(options.format, versus.versus(*sides), width))
        return
    selected = selection.select(options.runs_dir, names, *wanted)
    for warning in selected.warnings:
        print(f"warning: {shown(warning, MOST)}", file=sys.stderr)
    print(table.as_format(options.format, selected.environments, selected.atari, width))
    if options.plot is not None:
        figure.save(selected.environments, selected.atari, options.plot)
        print(f"chart: {options.plot}", file=sys.stderr)
    if options.curves is not None:
        chosen = selection.runs_named(names, options.runs_dir)
        curves.save([run for run in chosen if wanted[0] in (None, run.env_id)], options.curves)
        print(f"curves: {options.curves}", file=sys.stderr)
    if options.report is not None:
        from viewer.web import report  # loads PyTorch

        report.write(selected, options.report)


if __name__ == "__main__":
    run(main)
