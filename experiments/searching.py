"""A search for the best settings: Optuna proposes what is tried next, and gives hopeless runs up.

Its study is in SQLite beside the runs, or at any URL that Optuna takes, so that the same command goes on after a kill.
"""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import warnings
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.commands import command
from common.errors import UserError
from common.files import write_json
from common.text import number_of
from experiments import config_file, plan
from experiments.execution import REFRESH_SECONDS, Job
from experiments.plan import Entry, Plan, Row, changes
from experiments.planned import PlannedRun
from experiments.search_space import Dimension
from scores.collect import mean_score
from scores.runs import read_run

if TYPE_CHECKING:
    from optuna import Study, Trial

BEST = "best.json"
STUDY = "study.db"
ENDED = ("COMPLETE", "PRUNED", "FAIL")


class Search:
    """The runs of a search, a seed each of every trial; `execution.Source`."""

    def __init__(
        self, base: Plan, space: Sequence[Dimension], trials: int, pruner: str, url: str | None, retry: bool = False
    ) -> None:
        """Open the study; trials that were stopped go on first.

        Args:
            base: the run that all trials are made of, a seed each.
            space: what is varied.
            trials: how many there are in the end.
            pruner: "median", "halving" or "none".
            url: of the study; None: a file in the folder.
            retry: trials that failed do not count.

        Raises:
            UserError: Optuna is not installed, or the study can't be opened.
        """
        self.base, self.space, self.trials, self.retry = base, space, trials, retry
        self.study = open_study(base, pruner, url)
        self.jobs: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._members: dict[int, list[Job]] = {}  # by trial
        self._trial_of: dict[int, int] = {}  # by the number of the row
        self._reported: dict[int, int] = {}  # evaluations of a trial that the pruner knows
        self._looked: dict[int, float] = {}
        self._entries: list[Entry] = []
        for trial in self.study.get_trials(deepcopy=False):
            self._add(trial.number, trial.params, trial.state.name, trial.value)

    def take(self) -> Job | None:
        """Return the next run: of a trial that has begun, else of a new one; None: all trials have begun."""
        if not self._waiting and self._counted() < self.trials:
            trial = self.study.ask(distributions(self.space))
            self._add(trial.number, trial.params, "RUNNING", None)
            self._write()
        return self._waiting.popleft() if self._waiting else None

    def _counted(self) -> int:
        states = [trial.state.name for trial in self.study.get_trials(deepcopy=False)]
        return sum(state != "FAIL" for state in states) if self.retry else len(states)

    def _add(self, number: int, params: dict[str, Any], state: str, value: float | None) -> None:
        """Add the runs of a trial; they wait unless it has ended."""
        own = {one.name: one.typed(params[one.name]) for one in self.space if one.name in params}
        title = f"trial {number:04}"
        for first in self.base.entries:
            entry = dataclasses.replace(first, settings=first.settings | own, label=title)
            self._entries.append(entry)
            label = f"{title} ({changes(own, own)})"
            row = Row(len(self._entries), entry, label, PlannedRun(self.base.out / entry.folder, entry.seed))
            job = Job(row, total=row.total)
            self.jobs.append(job)
            self._trial_of[row.number] = number
            self._members.setdefault(number, []).append(job)
            if state in ENDED:
                job.state = {"COMPLETE": "finished", "PRUNED": "stopped", "FAIL": "failed"}[state]  # type: ignore[assignment]
                job.last_return = value
            elif row.run.finished_folder() is not None:
                job.state = "finished"
            else:
                path = row.run.folder / plan.CONFIGURATION
                if not path.exists():
                    write_json(path, entry.described())
                self._waiting.append(job)
        if state not in ENDED:
            self._tell(number)

    def _write(self) -> None:
        """Write the plan of all trials so far."""
        Plan(self.base.out, tuple(self._entries), "search", self.base.varied).write()

    def hopeless(self, job: Job) -> bool:
        """Return whether a run need not go on, because the pruner thinks so after its trial's newest evaluation.

        The first seed of a trial decides for all of them.
        """
        number = self._trial_of[job.row.number]
        first = self._members[number][0]
        if first.stopping:
            return True
        if job is not first or job.seconds - self._looked.get(number, 0.0) < REFRESH_SECONDS:
            return False
        self._looked[number] = job.seconds
        return self._report(number).should_prune()

    def _report(self, number: int) -> Trial:
        """Report a trial's evaluations so far to the pruner; return the trial."""
        from optuna import Trial

        trial = Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)
        folder = self._members[number][0].row.run.newest_folder()
        found = None if folder is None else read_run(folder)[0]
        curve = () if found is None else found.curve
        for step in range(self._reported.get(number, 0), len(curve)):
            trial.report(curve[step][1], step)
            self._reported[number] = step + 1
        return trial

    def ended(self, job: Job) -> None:
        """Tell the study how a trial ended, when its last run has."""
        self._tell(self._trial_of[job.row.number])

    def _tell(self, number: int) -> None:
        from optuna.trial import TrialState

        members = self._members[number]
        if any(job.state in ("waiting", "running") for job in members):
            if not any(job.stopping for job in members):
                return
            for job in members:  # given up: those of its seeds that have not begun never do
                if job.state == "waiting":
                    job.state, job.stopping = "stopped", True
                    self._waiting.remove(job)
            if any(job.state == "running" for job in members):
                return
        if any(job.stopping for job in members):
            self.study.tell(number, state=TrialState.PRUNED)
            for job in members:
                if (folder := job.row.run.newest_folder()) is not None:
                    shutil.rmtree(folder / "state", ignore_errors=True)  # it never goes on
        elif any(job.state == "failed" for job in members):
            self.study.tell(number, state=TrialState.FAIL)
        elif all(job.state == "finished" for job in members):
            self._report(number)  # later trials are measured by it
            self.study.tell(number, statistics.fmean(map(_score, members)))
        # else it was stopped by a signal, and goes on the next time

    # ------------------------------------------------------------------ the result

    def best(self) -> dict[str, Any] | None:
        """Return the best trial as a file of settings that train.py takes; None before one is complete."""
        done = [one for one in self.study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
        if not done:
            return None
        trial = max(done, key=lambda one: (one.value or 0.0, -one.number))
        entry = self._members[trial.number][0].row.configuration
        options = {name: value for name, value in entry.settings.items() if name in config_file.OPTIONS}
        settings = {name: value for name, value in entry.settings.items() if name not in config_file.OPTIONS}
        about = {"trial": trial.number, "score": trial.value, "trials": len(done)}
        identity = {"env_id": entry.env_id, "agent": entry.agent, "preset": entry.preset}
        return {"format": config_file.FORMAT, **identity, **options, "config": settings, "search": about}

    def importances(self) -> dict[str, float]:
        """Return how much of the scores' variance each setting explains, by fANOVA; empty where that is not known."""
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return dict(get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=0)))
        except (ValueError, RuntimeError, ImportError, ZeroDivisionError):  # too few trials, or all scored the same
            return {}

    def report(self) -> list[str]:
        """Write ``best.json``, and return what the search found, line by line."""
        states = [one.state.name for one in self.study.get_trials(deepcopy=False)]
        counts = {"complete": "COMPLETE", "given up early": "PRUNED", "failed": "FAIL", "not finished": "RUNNING"}
        told = ", ".join(f"{states.count(state)} {word}" for word, state in counts.items() if state in states)
        lines = [f"{number_of(len(states), 'trial')}: {told}"]
        best = self.best()
        if best is None:
            return [*lines, "no trial is complete yet"]
        path = self.base.out / BEST
        write_json(path, best)
        found = {name: best["config"].get(name, best.get(name)) for name in self.base.varied}
        lines.append(
            f"best: trial {best['search']['trial']:04}, {changes(found, found)}: {best['search']['score']:.2f}"
        )
        if importances := self.importances():
            shares = ", ".join(f"{name.replace('_', '-')} {share:.0%}" for name, share in importances.items())
            lines.append(f"importance of each setting (fANOVA, share of the scores' variance): {shares}")
        lines.append(f"train it with other seeds: {command('train.py', '--config', path, '--seed', 2)}")
        return lines


def _score(job: Job) -> float:
    folder = job.row.run.finished_folder()
    found = None if folder is None else read_run(folder)[0]
    assert found is not None
    return mean_score(found)


def distributions(space: Sequence[Dimension]) -> dict[str, Any]:
    """Return what is varied as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for one in space:
        if one.choices:
            found[one.name] = CategoricalDistribution([one.plain(value) for value in one.choices])
        elif one.whole:
            found[one.name] = IntDistribution(int(one.low or 0), int(one.high or 0), log=one.log)
        else:
            found[one.name] = FloatDistribution(float(one.low or 0), float(one.high or 0), log=one.log)
    return found


def open_study(base: Plan, pruner: str, url: str | None) -> Study:
    """Return the study, a new one or that which is there; `UserError` if that is not possible."""
    try:
        import optuna
        from optuna import pruners
    except ImportError:
        raise UserError("--search needs Optuna: pip install -e '.[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made: dict[str, Any] = {
        "median": pruners.MedianPruner(),
        "halving": pruners.SuccessiveHalvingPruner(),
        "none": pruners.NopPruner(),
    }
    address = url or f"sqlite:///{(base.out / STUDY).resolve()}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # several run at a time: those that run are taken to do badly, so that they are not tried twice
            sampler = optuna.samplers.TPESampler(seed=base.entries[0].seed, constant_liar=True)
            return optuna.create_study(
                storage=address,
                study_name=base.out.name,
                direction="maximize",
                load_if_exists=True,
                sampler=sampler,
                pruner=made[pruner],
            )
    except Exception as error:  # whatever the database's library raises
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"--study {address}: can't be opened ({type(error).__name__}: {reason})") from None
