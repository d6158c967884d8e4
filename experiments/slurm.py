"""A plan as an array script for Slurm: a task a run, put back into the queue before its time is over, then resumed.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from common import imports
from common.errors import UserError
from common.files import ROOT
from common.signals import ALL, on_signal
from experiments.local import PROCESS_BYTES, TRAINER
from experiments.plan import FILE, Planned, Row
from experiments.planned import BROKEN

SCRIPT = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=1-{runs}
#SBATCH --cpus-per-task={cpus}
#SBATCH --mem={megabytes}M
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180
#SBATCH --output={logs}/slurm-%A_%a.log
{gpu}
# Written by sweep.py. {runs} runs, a task each; change the lines above as your cluster wants them, and submit:
#   sbatch {file}
# A task gets USR1 three minutes before its time is over: its run saves, and the task goes back into the queue.
# The same script again runs what is missing only. The result: python sweep.py --status {out}

cd {root}
{python} sweep.py --plan {plan} --row "$SLURM_ARRAY_TASK_ID"{imports} &
run=$!
requeue() {{
    kill -USR1 "$run"
    wait "$run"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    exit 0
}}
trap requeue USR1
wait "$run"
"""


def script(found: Planned, file: Path) -> str:
    """Return the array script of a plan."""
    one, needs = found.plan, found.needs
    return SCRIPT.format(
        name=shlex.quote(one.out.name),
        runs=len(one.entries),
        cpus=found.threads or 1,
        megabytes=round((needs.bytes + PROCESS_BYTES) / 1e6 * 1.25),
        gpu="#SBATCH --gpus=1\n" if needs.pictures else "",
        logs=shlex.quote(str(one.out.resolve())),
        file=shlex.quote(str(file)),
        out=shlex.quote(str(one.out)),
        root=shlex.quote(str(ROOT)),
        python=shlex.quote(sys.executable),
        plan=shlex.quote(str((one.out / FILE).resolve())),
        imports="".join(f" --import {shlex.quote(name)}" for name in imports.IMPORTED),
    )


def write(found: Planned, file: Path) -> None:
    """Write the script; `UserError` where that is not possible."""
    try:
        file.write_text(script(found, file), encoding="utf-8")
        file.chmod(0o755)
    except OSError as error:
        raise UserError(f"--slurm {file}: can't be written ({error.strerror})") from None


def run_row(row: Row, out: Path, trainer: Sequence[str] = TRAINER, threads: int | None = None) -> int:
    """Run one row of a plan in the foreground, resumed if it was stopped; return its exit code, 0 if it is finished."""
    if row.run.finished_folder() is not None:
        print(f"{row.name}: already finished")
        return 0
    extra = ["--threads", str(threads or int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))]
    words, _ = row.run.prepare(out / BROKEN, [*row.words, *extra], imports.words())
    process = subprocess.Popen([*trainer, *words], stdin=subprocess.DEVNULL)
    with on_signal(process.send_signal, ALL):
        code = process.wait()
    if code and code < 128:
        row.run.fail(f"exit status {code}; its output is in the log of its task")
    return code
