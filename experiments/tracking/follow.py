"""The process beside a training that sends its run to a tracker: it reads the run's files, as anybody could.

So a tracker changes nothing in a run, and whatever happens in its library (it raises, hangs, ends the process) happens
here. ``python -m experiments.tracking.follow RUN`` reads how the run ended from its standard input: a word, or nothing
when the trainer was killed. What it prints is told to the person, a line at a time.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from common.commands import command
from common.errors import UserError
from common.reading import check_heading, read_json
from common.tail import Tail
from common.text import shown
from experiments.tracking import record
from experiments.tracking.tracker import (
    CURES,
    SAID,
    About,
    Lost,
    Name,
    Say,
    Status,
    Tracker,
    Unavailable,
    check_installed,
    flat,
)

LOOK_SECONDS = 1.0
RETRY_SECONDS = 30.0  # after a failure
SLOW_SECONDS = 10.0  # after which a call that has not returned is one that hangs
ALONE_SECONDS = 1800.0  # that it goes on at most after the training, whose program may be gone
HOPELESS_SECONDS = 2.0  # that a tracker has at the end which failed, or hung, before
FILMS = (".mp4", ".gif")
MOST_FILMS = 10


class Follower:
    """Sends what is new in a run's files.

    Args:
        run: its folder.
        say: tells a person something.
    """

    def __init__(self, run: Path, say: Say, tracker: Tracker | None = None) -> None:
        self.run, self.say = run, say
        known = record.read(run)
        if known is None:
            raise UserError(f"{run}: it is not tracked; add --track")
        self.known = known
        self._tracker = tracker
        self._tail = Tail(run / "metrics.csv")
        self._seen = 0  # rows that were read
        self._reached: float | None = None  # agent steps that the tracker has, where it says so
        self.over = False  # the training
        self._waiting: list[dict[str, float]] = []
        self._retry_at, self._failing = 0.0, False
        self._sending_since: float | None = None

    @property
    def name(self) -> str:
        """The tracker's."""
        return self.known.tracker

    @property
    def hopeless(self) -> bool:
        """Whether the tracker failed at the last attempt, or has not returned from this one for long."""
        since = self._sending_since
        return self._failing or (since is not None and time.monotonic() - since > SLOW_SECONDS)

    @property
    def incomplete(self) -> str:
        """What is said where not all was sent."""
        silent = "" if self._sending_since is None else f", which does not answer ({CURES[self.name]})"
        return f"note: not all was sent to {self.name}{silent}; {self._later}"

    @property
    def _later(self) -> str:
        return f"later: {command('runs.py', 'track', self.run)}"

    def begin(self) -> bool:
        """Begin to track the run, or go on; return False, and say why, where that is not possible."""
        try:
            self._tracker = self._tracker or make(self.known.tracker)
            tracked = self._tracker.begin(about(self.run), self.known.id)
        except (Unavailable, UserError) as error:  # not installed; a damaged config.json
            return self._not_begun(str(error))
        except (KeyboardInterrupt, SystemExit) as error:
            return self._not_begun(f"{self.name} gave up ({reason(error)}): {CURES[self.name]}")
        except Exception as error:
            return self._not_begun(f"{self.name} can't be used ({reason(error)}): {CURES[self.name]}")
        again = "goes on" if self.known.id == tracked.id else "begins"
        self._reached = tracked.reached
        self._keep(replace(self.known, id=tracked.id[:300], where=shown(tracked.where, 300)))
        self.say(f"tracking {again}: {self.name}, {shown(tracked.where, 200)}")
        return True

    def _not_begun(self, why: str) -> bool:
        self.say(f"note: {why}; {self._later if self.over else 'training goes on'}")
        return False

    def send(self, last: bool = False) -> bool:
        """Send the rows that came; return whether nothing waits. After a failure it is tried again later."""
        assert self._tracker is not None
        while found := self._tail.rows():
            for row in found:
                self._seen += 1
                if (values := numbers(row)) and self._is_missing(values):
                    self._waiting.append(values)
        if not self._waiting:
            return True
        if time.monotonic() < self._retry_at and not last:
            return False
        self._sending_since = time.monotonic()
        try:
            self._tracker.log(self._waiting)
        except (Exception, SystemExit) as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if not self._failing:
                again = "" if isinstance(error, Lost) else ", and it is tried again"
                self.say(f"note: {self._failure(error)}" + ("" if self.over else f"; training goes on{again}"))
            self._failing = True
            return False
        finally:
            self._sending_since = None
        if self._failing:
            self.say(f"note: {self.name} takes rows again")
        self._waiting, self._failing = [], False
        self._keep(replace(self.known, rows=self._seen))
        return True

    def finish(self, status: Status) -> bool:
        """Send the rest: rows, tables of the final scores, films; return False, and say so, where some is missing."""
        assert self._tracker is not None
        if not (whole := self.send(last=True)):
            self.say(self.incomplete)  # the rest would fail as well, and each in its own time
            return False
        try:
            for name, columns, rows in tables(self.run):
                self._tracker.table(name, columns, rows)
            for path in films(self.run):
                self._tracker.film(path)
            self._tracker.finish(status)
        except (Exception, SystemExit) as error:
            self.say(f"note: {self._failure(error)}")
            whole = False
            self.say(self.incomplete)
        return whole

    def _is_missing(self, values: Mapping[str, float]) -> bool:
        """Return whether the tracker has not had the row that was read last."""
        if self._reached is not None:
            return values["agent_steps"] > self._reached
        return self._seen > self.known.rows

    def _failure(self, error: BaseException) -> str:
        """Return what failed, and the cure; where what was sent is lost, it is to be sent again."""
        if isinstance(error, Lost):
            self._keep(replace(self.known, rows=0))
            return f"{self.name} has lost what it had ({reason(error)})"
        return f"{self.name} fails ({reason(error)}): {CURES[self.name]}"

    def _keep(self, known: record.Record) -> None:
        self.known = known
        with suppress(UserError):  # a full disk: then rows are sent twice after a resume
            record.write(self.run, known)


def make(name: Name) -> Tracker:
    """Return the client of a tracker, its library imported; `Unavailable` where it is not installed."""
    check_installed(name)
    if name == "wandb":
        from experiments.tracking.with_wandb import Wandb

        return Wandb()
    if name == "trackio":
        from experiments.tracking.with_trackio import Trackio

        return Trackio()
    from experiments.tracking.with_mlflow import Mlflow

    return Mlflow()


def reason(error: BaseException) -> str:
    """Return the first line of an error; SQLAlchemy's remark on itself, in brackets, says nothing."""
    text = [line for line in str(error).strip().splitlines() if not re.fullmatch(r"\(raised as .*\)", line)]
    return shown(text[0] if text else type(error).__name__, 120)


def about(run: Path) -> About:
    """Return what a tracker is told of a run; `UserError` where its ``config.json`` can't be read."""
    config = read_json(run / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"{run / 'config.json'}: damaged, it is no object")
    tags = {"environment": "env_id", "agent": "agent", "preset": "preset"}
    found = {name: shown(str(config[key]), 100) for name, key in tags.items() if config.get(key)}
    name = config.get("name")
    title = name if isinstance(name, str) and name else run.resolve().name
    return About(shown(title, 100), run, flat(config), found)


def numbers(row: Mapping[str, str]) -> dict[str, float]:
    """Return the numbers of a row of metrics; of one without agent steps, none."""
    found = {}
    for key, text in row.items():
        with suppress(ValueError):
            if math.isfinite(value := float(text[:40])):
                found[key] = value
    return found if "agent_steps" in found else {}


def tables(run: Path) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    """Yield the final tables: the run beside the references, and its last evaluation, an episode a row."""
    import scores  # with SciPy, and seldom needed before the end
    from common.files import PRETRAINED
    from scores.collect import comparisons
    from scores.runs import COLUMNS, read_run

    found, _ = read_run(run)
    if found is None:
        return
    text = scores.as_csv(comparisons(run.parent, PRETRAINED, found.env_id, [run])[0])
    rows = list(csv.reader(io.StringIO(text)))
    if rows:
        yield "scores", rows[0], rows[1:]
    episodes = [[str(getattr(one, field)) for field in COLUMNS] for one in found.episodes]
    yield "evaluation", list(COLUMNS.values()), episodes


def films(run: Path) -> list[Path]:
    """Return the films that were made of a run."""
    with suppress(OSError):
        found = sorted(path for path in (run / "videos").iterdir() if path.suffix in FILMS and path.name[0] != ".")
        return [path for path in found if path.is_file() and not path.is_symlink()][:MOST_FILMS]
    return []


def catch_up(run: Path, say: Say, tracker: Tracker | None = None) -> bool:
    """Send a run that ended, or the rest of it; `UserError` where its ``metrics.csv`` can't be read."""
    check_heading(run / "metrics.csv", "agent_steps")  # else nothing of it would be sent, without a word
    follower = Follower(run, say, tracker)
    follower.over = True
    return follower.begin() and follower.finish("finished")


def main(argv: Sequence[str]) -> int:
    """Follow the run that the command line names until its training ends; with "ended" after it, it has."""
    run, say = Path(argv[0]), _own_output()
    try:
        whole = catch_up(run, say) if argv[1:] == ["ended"] else follow(run, say)
    except UserError as error:
        say(f"note: {error}")
        whole = False
    return 0 if whole else SAID


def follow(run: Path, say: Say) -> bool:
    """Send what a run writes until standard input says that its training ended; return whether all was sent."""
    follower, ended, words = Follower(run, say), list[str](), sys.stdin

    def wait() -> None:
        ended.append(words.read(100).strip())
        follower.over = True
        alone = threading.Timer(ALONE_SECONDS, os._exit, [SAID])  # a killed trainer ends nobody who hangs
        alone.daemon = True
        alone.start()
        if follower.hopeless:
            time.sleep(HOPELESS_SECONDS)
            if follower.hopeless:
                say(follower.incomplete)
                os._exit(SAID)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    with suppress(OSError, AttributeError):
        os.nice(10)  # the training comes first
    if not follower.begin():
        return False
    while not ended:
        follower.send()
        waiting.join(LOOK_SECONDS)
    status: Any = ended[0] if ended[0] in get_args(Status) else "killed"
    return follower.finish(status)


def _own_output() -> Say:
    """Return what prints a line for the person; what libraries print goes nowhere."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    def say(line: str) -> None:
        with suppress(OSError, ValueError):  # nobody listens any more
            print(line, file=own, flush=True)

    return say


if __name__ == "__main__":
    code = 1
    with suppress(BaseException):
        code = main(sys.argv[1:])
    os._exit(code)  # at once, whatever threads and exit handlers a library left
