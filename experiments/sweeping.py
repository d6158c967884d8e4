"""A sweep from the outside: planned, executed here or elsewhere, stopped, continued, and reported.

Nothing here loads PyTorch: the plan is made in a process of its own, so that this one stays small beside its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.text import Text

from common import imports
from common.commands import command, typed
from common.errors import UserError
from common.files import write_bytes
from common.lock import FILE as LOCK
from common.lock import alive_processes, locked
from common.machine import cores
from common.program import outlive_output
from common.text import number_of, time_text
from common.waiting import waiting
from experiments import live_view, plan, slurm, sweep_options, sweep_report, sweep_results
from experiments.execution import Engine, Execution, Job, Queue, Source
from experiments.local import PROCESS_BYTES, TRAINER, Local, fitting_jobs
from experiments.plan import Plan, Planned
from experiments.sweep_options import Options
from scores import chart
from scores.collect import mean_score
from scores.runs import read_run

ORPHANS_SECONDS = 60.0  # that the runs of a killed sweep have to save
INTERRUPTED = 130
MOST_STATUS_ROWS = 60


def main(argv: Sequence[str], trainer: Sequence[str] = TRAINER, apart: bool = True) -> int:
    """Run a sweep, or what else its command line asks for.

    Args:
        argv: the command line.
        trainer: the command that trains; another one in tests.
        apart: the plan is made in a process of its own.

    Returns:
        0: every run is finished; 1: a run failed; 130: stopped by Ctrl-C.
    """
    options, _ = sweep_options.read(argv)
    console = Console()
    if options.status is not None:
        return status(options.status, console)
    if options.plot is not None:
        chart.check_path(options.plot)
    found = plan_apart(argv, console) if apart else planned_here(argv)
    imports.IMPORTED[:] = dict.fromkeys((*imports.IMPORTED, *found.imports))  # for the command lines of the runs
    outlive_output()
    plan.prepare(found.plan)
    if options.row is not None:
        if options.row > len(found.plan.rows):
            raise UserError(f"--row {options.row}: the plan has {number_of(len(found.plan.rows), 'run')}")
        return slurm.run_row(found.plan.rows[options.row - 1], found.plan.out, trainer, found.threads)
    if options.slurm is not None:
        slurm.write(found, options.slurm)
        print_line(console, f"{number_of(len(found.plan.rows), 'run')}: {found.about}, in {found.plan.out}")
        print_line(console, f"submit them with: {typed('sbatch', options.slurm)}")
        print_line(console, f"their result:     {command('sweep.py', '--status', found.plan.out)}")
        return 0
    return run_all(found, options, console, argv, trainer)


def planned_here(argv: Sequence[str]) -> Planned:
    """Return the plan of a command line; PyTorch is loaded for it."""
    from experiments.planning import planned as made  # here, because of that

    return made(argv)


def plan_apart(argv: Sequence[str], console: Console) -> Planned:
    """Return the plan of a command line, made in another process; errors are raised here."""
    with (
        waiting("checking the plan", lambda line: print_line(console, line)),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor,
    ):
        return executor.submit(planned_here, argv).result()


def run_all(
    found: Planned, options: Options, console: Console, argv: Sequence[str], trainer: Sequence[str] = TRAINER
) -> int:
    """Execute a plan where its options say, and report; the result is that of `main`."""
    out = found.plan.out
    with locked(out, ORPHANS_SECONDS) as set_children:
        if found.search:
            return search(found, options, console, argv, trainer, set_children)
        jobs = jobs_of(found.plan, options.retry_failed)
        jobs = [job for job in jobs if found.only is None or job.row.number in found.only]
        print_line(console, f"{number_of(len(jobs), 'run')}: {found.about}, in {out}")
        print_finished(console, jobs)
        left = [job for job in jobs if job.state == "waiting"]
        if left:
            with engine_for(found, options, len(left), console, trainer, set_children) as engine:
                done = execute(console, jobs, Queue(left), engine)
            if not done:
                print_line(console, "stopped; everything is saved. Continue with")
                print_line(console, f"  {command('sweep.py', *argv)}")
                return INTERRUPTED
        report(console, found.plan, options.plot, jobs)
    return 1 if any(job.state != "finished" for job in jobs) else 0


def search(
    found: Planned,
    options: Options,
    console: Console,
    argv: Sequence[str],
    trainer: Sequence[str],
    set_children: Callable[[list[int]], None],
) -> int:
    """Execute a search, and report; the result is that of `main`."""
    from experiments.searching import Search  # here, because Optuna need not be installed

    source = Search(found.plan, found.search, options.trials, options.pruner, options.study, options.retry_failed)
    print_line(console, f"search: {found.about}, in {found.plan.out}")
    print_finished(console, source.jobs)
    runs = options.trials * len(found.plan.entries)
    with engine_for(found, options, runs, console, trainer, set_children) as engine:
        done = execute(console, source.jobs, source, engine)
    lines = source.report()
    if not done:
        print_line(console, "stopped; everything is saved. Continue with")
        print_line(console, f"  {command('sweep.py', *argv)}")
        return INTERRUPTED
    report(console, plan.read(found.plan.out, run=False), options.plot, source.jobs)
    for line in lines:
        print_line(console, line)
    return 1 if any(job.state == "failed" for job in source.jobs) else 0


@contextmanager
def engine_for(
    found: Planned,
    options: Options,
    left: int,
    console: Console,
    trainer: Sequence[str],
    set_children: Callable[[list[int]], None],
) -> Iterator[Engine]:
    """Yield where runs are executed: on this machine, or on a cluster."""
    if options.cluster is None:
        yield local(found, options, left, console, trainer, set_children)
        return
    from experiments.on_ray import OnRay  # here, because Ray need not be installed

    own = () if tuple(trainer) == TRAINER else tuple(trainer)
    with waiting("connecting to Ray", lambda line: print_line(console, line)):
        engine = OnRay(options.cluster, found, options.gpus, lambda line: print_line(console, line), own)
    try:
        yield engine
    finally:
        engine.close()


def local(
    found: Planned,
    options: Options,
    left: int,
    console: Console,
    trainer: Sequence[str],
    set_children: Callable[[list[int]], None],
) -> Local:
    """Return the engine of this machine; print how many runs it takes at a time, and why."""
    fitting, why = fitting_jobs(left, found.needs.bytes + PROCESS_BYTES, found.needs.gpu)
    jobs = min(options.jobs or fitting, left)
    reason = f"fitting: {fitting}; {why}" if options.jobs else why
    threads = found.threads
    if threads is None and jobs > 1:
        threads = max(cores() // jobs, 1) if found.needs.gains_from_threads else 1
    print_line(console, f"{jobs} at a time ({reason})" + (f", {threads} CPU threads each" if threads else ""))
    extra = [*found.tracking, *([] if threads is None else ["--threads", str(threads)])]
    return Local(jobs, found.plan.out, trainer, extra, set_children)


def execute(console: Console, jobs: list[Job], source: Source, engine: Engine) -> bool:
    """Run what a source gives, shown; return whether it was not stopped."""
    with live_view.live_view(console, jobs, outcome, engine.places) as observer:
        return Execution(source, engine, observer).run()


def jobs_of(one: Plan, retry: bool = False) -> list[Job]:
    """Return a job for each run of a plan, as it stands on disk; those that failed wait again if that is asked for."""
    jobs = []
    for row in one.rows:
        state, folder = row.run.find()
        job = Job(row, total=row.total)
        if state == "finished":
            job.state = "finished"
        elif state == "failed" and not retry:
            job.state, job.why = "failed", row.run.failure or ""
        elif state == "stopped" and folder is not None:
            job.refresh()
        jobs.append(job)
    return jobs


def print_finished(console: Console, jobs: Sequence[Job]) -> None:
    """Print how many runs need not be trained any more, and how many failed."""
    finished, failed = (sum(job.state == state for job in jobs) for state in ("finished", "failed"))
    if finished:
        print_line(console, f"{finished:,} of them are already finished")
    if failed:
        them = "1 failed before and is left out" if failed == 1 else f"{failed:,} failed before and are left out"
        print_line(console, f"{them}; --retry-failed tries again")


def outcome(job: Job) -> str:
    """Return one line on how a run ended."""
    if job.state == "finished":
        folder = job.row.run.finished_folder()
        found = None if folder is None else read_run(folder)[0]
        score = "" if found is None else f"mean score {mean_score(found):.2f}, "
        return f"{job.name}: {score}{time_text(job.seconds)}"
    if job.state == "stopped":
        return f"{job.name}: {'given up' if job.stopping else 'stopped'}"
    return f"{job.name}: FAILED ({job.why}); see {job.row.run.log}"


def report(console: Console, one: Plan, picture: Path | None = None, jobs: Iterable[Job] = ()) -> None:
    """Print the result, and write it as a table, a page and a picture."""
    picture = picture or one.out / "sweep.png"
    result = sweep_results.collect(one)
    write_bytes(one.out / "sweep.csv", result.as_csv.encode())
    link = picture.name if picture.parent == one.out else str(picture.resolve())
    write_bytes(one.out / "sweep.md", sweep_report.markdown(result, link).encode())
    sweep_report.save(result, picture)
    width = console.width if console.is_terminal else None
    print("\n" + sweep_report.text(result, width, color=console.is_terminal))
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed[: live_view.MOST_FAILURES]:
        print_line(console, outcome(job))
    if failed:
        print_line(console, f"{len(failed):,} failed; --retry-failed tries again")
    print_line(console, f"\ntable:      {one.out / 'sweep.md'}")
    print_line(console, f"runs:       {one.out / 'sweep.csv'}")
    print_line(console, f"picture:    {picture}")
    print_line(console, f"compare it: {command('compare.py', '--runs-dir', one.out)}")


def status(folder: Path, console: Console) -> int:
    """Print where a sweep stands, and its result so far; return 0, 1 when a run failed."""
    one = plan.read(folder, run=False)
    jobs = jobs_of(one)
    for job in jobs:
        newest = job.row.run.newest_folder() if job.state == "waiting" else None
        if newest is not None:
            job.state = "running" if alive_processes(newest / "live" / LOCK) else "stopped"
        job.refresh()
    at_work = alive_processes(one.out / LOCK)
    by = f"process {at_work[0]} works on it" if at_work else "no process works on it on this machine"
    print_line(console, f"{number_of(len(jobs), 'run')} in {one.out}: {live_view.counted(jobs)}; {by}")
    room = max(console.height - live_view.OTHER_LINES, 10) if console.is_terminal else MOST_STATUS_ROWS
    wide = console if console.is_terminal else Console(width=1_000)
    wide.print(live_view.table(jobs, room), highlight=False)
    result = sweep_results.collect(one)
    if result.rows:
        width = console.width if console.is_terminal else None
        print("\n" + sweep_report.text(result, width, color=console.is_terminal))
    return 1 if any(job.state == "failed" for job in jobs) else 0


def print_line(console: Console, text: str) -> None:
    """Print a line as it is: neither wrapped nor coloured."""
    console.print(Text(text), soft_wrap=True, highlight=False)
