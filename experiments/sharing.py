"""What share.py does: put a run on the Hugging Face Hub, for play.py hf:OWNER/NAME."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import tyro

from common.errors import UserError
from common.hub import NoAnswer, endpoint, in_words, library, split
from common.text import number_of, shown
from common.waiting import waiting
from experiments import model_card
from experiments.run_status import PLACES, find
from experiments.run_table import size_text
from scores.finding import find_all


@dataclasses.dataclass(frozen=True)
class Options:
    """What is put where."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="push RUN OWNER/NAME")] = ()
    """push, a run (a folder, a name or its start or end), and where to: your name on the hub, and one for the agent."""
    private: bool = False
    """Only you can see it."""
    film: bool = True
    """Make a film for the card; it takes a minute or two."""
    out: Path | None = None
    """Write what would be put there into this new folder, and send nothing."""
    runs_dir: Path | None = None
    """Where the run is; by default runs, sweeps and ablations in the current folder."""


def share(options: Options) -> None:
    """Do what the options ask for; `UserError` says in one line what is in the way."""
    if len(options.words) != 3 or options.words[0] != "push":
        raise UserError("share.py takes three words: push RUN OWNER/NAME; python runs.py lists the runs")
    name = options.words[2]
    owner, repository, revision = split(name)
    if revision is not None:
        raise UserError(f"{name}: a revision can't be pushed; leave out @{revision}")
    library()
    repo_id, run = f"{owner}/{repository}", _run(options)
    if options.out is not None and os.path.lexists(options.out):
        raise UserError(f"--out {options.out}: it is there already; name a new folder")
    if options.out is None:
        check_login(repo_id)  # before a minute goes into the film
    with _new_folder(options.out) as folder:
        model_card.write(run, repo_id, folder, print, options.film)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        size = size_text(sum(path.stat().st_size for path in files))
        if options.out is None:
            with waiting(f"sending {size} to the hub"):
                url = push(folder, repo_id, options.private)
    if options.out is not None:
        print(f"{options.out}: {number_of(len(files), 'file')}, {size}; nothing was sent")
        return
    print(f"{url}: {number_of(len(files), 'file')}, {size}")
    print(f"anybody plays it:  python play.py hf:{repo_id}")


@contextmanager
def _new_folder(out: Path | None) -> Iterator[Path]:
    """Yield an empty folder, which becomes ``out`` when all is in it; without that it is removed."""
    try:
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".card-", dir=None if out is None else out.parent) as temporary:
            folder = Path(temporary, "card")
            folder.mkdir()
            yield folder
            if out is not None:
                os.rename(folder, out)
    except OSError as error:
        raise UserError(f"{out or error.filename}: can't be written ({error.strerror})") from None


def _run(options: Options) -> Path:
    places = [Path(place) for place in PLACES] if options.runs_dir is None else [options.runs_dir]
    found = find(options.words[1], find_all(places))
    if len(found) != 1:
        few = ", ".join(path.name for path in found[:3])
        raise UserError(f"share.py pushes one run, and '{options.words[1]}' means {len(found)}: {few}")
    return found[0]


def check_login(repo_id: str) -> None:
    """Raise `UserError` where nobody is logged in, or the hub can't be reached."""
    api = library().HfApi(endpoint=endpoint())
    try:
        with waiting("asking the hub who is logged in"):
            api.whoami()
    except Exception as error:
        raise UserError(in_words(repo_id, error)) from None


def push(folder: Path, repo_id: str, private: bool = False) -> str:
    """Put a folder's files on the hub, in a repository that is made if it is not there; return its address.

    Raises:
        UserError: nobody is logged in, it is not allowed, or the hub can't be reached.
    """
    api = library().HfApi(endpoint=endpoint())
    try:
        url = api.create_repo(repo_id, private=private or None, exist_ok=True, repo_type="model")
    except Exception as error:
        raise UserError(in_words(repo_id, error)) from None
    try:  # one commit: all or nothing
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="An agent trained with Tidepool")
    except Exception as error:
        there = "is there, nothing was put into it"
        if isinstance(error, NoAnswer):  # it may have done it all the same
            there = "may have the files all the same: look there, or push once more"
        raise UserError(f"{in_words(repo_id, error)}; {shown(str(url), 200)} {there}") from None
    return shown(str(url), 200)
