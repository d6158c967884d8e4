"""Agents on the Hugging Face Hub: ``hf:OWNER/NAME``, fetched into a folder of this machine, then read like any other.

Only files with the names that a run has are asked for, of limited sizes, and copied as bytes; nothing that comes from
there is executed or imported, and no link is followed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from common.errors import UserError
from common.files import write_bytes
from common.reading import JSON_BYTES, read_file
from common.text import shown
from common.waiting import waiting

PREFIX = "hf:"
MANIFEST, WEIGHTS = "manifest.json", "network.safetensors"  # of an agent
NAME = re.compile(r"([\w.-]{1,96})/([\w.-]{1,96})(?:@([\w./-]{1,100}))?")
TABLE_BYTES = 50_000_000
# what is fetched, and how many bytes of it at most; the first two are an agent
FILES = {
    f"agent/{MANIFEST}": JSON_BYTES,
    f"agent/{WEIGHTS}": 1_000_000_000,
    "config.json": JSON_BYTES,
    "eval.csv": TABLE_BYTES,
    "metrics.csv": TABLE_BYTES,
}
NEEDED = tuple(FILES)[:2]
CACHE_VARIABLE = "TIDEPOOL_CACHE_DIR"
HUB_HINT = "the hub needs huggingface_hub: pip install -e '.[hub]'"
LATEST = "latest"
ANSWER_SECONDS = 20.0  # in which the hub has to say something; the library itself would wait for ever


class NoAnswer(ConnectionError):
    """The hub did not answer in time; the library knows no such error, and does not ask again."""


def is_on_hub(name: str | Path) -> bool:
    """Return whether a name is one on the hub."""
    return str(name).startswith(PREFIX)


def split(name: str) -> tuple[str, str, str | None]:
    """Return owner, name and revision of ``hf:OWNER/NAME@REVISION``, whose prefix and revision may be missing."""
    match = NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None or ".." in name:
        raise UserError(f"{shown(name, 80)}: a name on the hub is OWNER/NAME, of letters, digits, '-', '_' and '.'")
    return match[1], match[2], match[3]


def library() -> Any:
    """Return huggingface_hub; `UserError` where it is not installed."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "critical")  # what it tries again is nobody's concern
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # its transfers do not know our time limit
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(HUB_HINT) from None
    _wait_no_longer(huggingface_hub)
    return huggingface_hub


@functools.cache
def _wait_no_longer(hub: Any) -> None:
    """Give the library's requests a time in which the hub has to answer, once: it would ask six times."""
    try:
        from huggingface_hub.utils._http import default_client_factory
    except ImportError:  # a later version may have another name for it: then the library's own times count
        return

    def client() -> Any:
        made: Any = default_client_factory()
        made.timeout, send = ANSWER_SECONDS, made.send

        def send_once(*arguments: Any, **named: Any) -> Any:
            try:
                return send(*arguments, **named)
            except Exception as error:
                if "TimeoutException" in {one.__name__ for one in type(error).__mro__}:
                    raise NoAnswer(*error.args) from None
                raise

        made.send = send_once
        return made

    hub.set_client_factory(client)


def endpoint() -> str | None:
    """Return the address of another hub, which the library's own variable names; None: the public one."""
    return os.environ.get("HF_ENDPOINT") or None


def local(name: str | Path) -> Path:
    """Return the folder of an agent on the hub, fetched unless it was before.

    Raises:
        UserError: there is none, the hub can't be reached, or what it has is no agent of ours; one line says which.
    """
    owner, repository, revision = split(str(name))
    place, hub = _cache() / f"{owner}--{repository}", library()
    with waiting(f"fetching {owner}/{repository} from the hub"):
        with _in_words(str(name), place if revision is None else None) as found:
            info = hub.HfApi(endpoint=endpoint()).model_info(
                f"{owner}/{repository}", revision=revision, files_metadata=True, timeout=ANSWER_SECONDS
            )
            sizes = {one.rfilename: one.size for one in info.siblings or ()}
            commit = str(info.sha or "")
        if found:
            return found[0]
        if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
            raise UserError(f"{name}: the hub's answer has no commit")
        _check_sizes(str(name), sizes)
        folder = place / commit[:12]
        with _in_words(str(name)):
            if not _is_whole(folder):
                _fetch(hub, f"{owner}/{repository}", commit, [file for file in FILES if file in sizes], folder)
                if not _is_whole(folder):
                    raise UserError(f"{name}: what the hub has is damaged, {NEEDED[1]} is not what {NEEDED[0]} says")
            if revision is None:
                write_bytes(place / LATEST, folder.name.encode())
    return folder


def _cache() -> Path:
    override = os.environ.get(CACHE_VARIABLE)
    return (Path(override) if override else user_cache_path("tidepool")) / "hub"


def _is_whole(folder: Path) -> bool:
    """Return whether an agent is there, with the weights that its manifest names."""
    try:
        manifest = json.loads(read_file(folder / "agent" / MANIFEST, JSON_BYTES))
        weights = read_file(folder / "agent" / WEIGHTS, FILES[NEEDED[1]])
    except (UserError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("sha256") == hashlib.sha256(weights).hexdigest()


def _check_sizes(name: str, sizes: Mapping[str, int | None]) -> None:
    """Raise `UserError` for what is no agent, or too large, before it is fetched."""
    if missing := [file for file in NEEDED if file not in sizes]:
        raise UserError(f"{name}: no agent of this program, it lacks {' and '.join(missing)}")
    for file, most in FILES.items():
        if (size := sizes.get(file)) is not None and size > most:
            raise UserError(f"{name}: {file} has {size / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are fetched")


def _fetch(hub: Any, repo_id: str, commit: str, files: list[str], folder: Path) -> None:
    """Fetch files, then copy their bytes; the manifest comes last, so that a folder with it is whole."""
    with tempfile.TemporaryDirectory() as temporary:
        for file in files:
            hub.hf_hub_download(repo_id, file, revision=commit, local_dir=temporary, endpoint=endpoint())
        for file in reversed(files):
            write_bytes(folder / file, read_file(Path(temporary, file), FILES[file]))


@contextmanager
def _in_words(name: str, cached: Path | None = None) -> Iterator[list[Path]]:
    """Turn an error of the library's into one line; yields a list, for what was fetched before where there is no net.

    Args:
        name: what is fetched.
        cached: where it was fetched to before.
    """
    before: list[Path] = []
    try:
        yield before
    except UserError:
        raise
    except Exception as error:
        message = in_words(name, error)
        folder = _fetched_before(cached) if cached is not None and "can't be reached" in message else None
        if folder is None:
            raise UserError(message) from None
        print(f"note: the hub can't be reached; {name} as it was fetched before")
        before.append(folder)


def _fetched_before(place: Path) -> Path | None:
    try:
        newest = read_file(place / LATEST, 100).decode("ascii", errors="replace")
    except UserError:
        return None
    folder = place / newest
    return folder if re.fullmatch(r"[0-9a-f]{7,12}", newest) and _is_whole(folder) else None


def in_words(name: str, error: Exception) -> str:
    """Return in one line what went wrong between us and the hub, and what helps."""
    if type(error) is RuntimeError and isinstance(error.__cause__, Exception):
        error = error.__cause__  # of a large file, which the library only names
    kinds = {one.__name__ for one in type(error).__mro__}
    status = _status(error)
    if isinstance(error, OSError) and error.filename and error.strerror and status is None:
        return f"{name}: {error.filename} can't be written ({error.strerror}); {CACHE_VARIABLE} names another folder"
    if "HFValidationError" in kinds:
        return f"{name}: the hub does not take this name"
    if "GatedRepoError" in kinds or status == 403:
        return f"{name}: not allowed with this login; log in as somebody who is: hf auth login"
    if "RevisionNotFoundError" in kinds:
        return f"{name}: the hub has no such revision"
    if "RepositoryNotFoundError" in kinds:
        return f"{name}: there is none on the hub, or it is private; if it is yours: hf auth login"
    if "LocalTokenNotFoundError" in kinds or status == 401:
        return f"{name}: not logged in, or the token is not valid: hf auth login"
    if kinds & {"OfflineModeIsEnabled", "ConnectError", "TimeoutException", "TransportError", "ConnectionError"}:
        return f"{name}: the hub can't be reached ({_first_line(error)})"
    if cure := _cure(status):
        return f"{name}: the hub answers with {status}; {cure}"
    return f"{name}: the hub answers with an error ({_first_line(error)})"


def _status(error: BaseException | None) -> int | None:
    """Return the status that the hub answered with, also where the library has wrapped that in an error of its own."""
    while error is not None:
        if isinstance(status := getattr(getattr(error, "response", None), "status_code", None), int):
            return status
        error = error.__cause__ or error.__context__
    return None


def _cure(status: int | None) -> str:
    """Return what helps against a status; empty: nothing that is known."""
    known = {
        404: "there is none on the hub, or it is private; if it is yours: hf auth login",
        409: "somebody else changes the same at this moment; try again",
        413: "that is too large for it; share.py push --no-film sends less",
        429: "it had too many requests; try again in some minutes",
    }
    if status is not None and status >= 500:
        return "that is a fault of its own; try again later"
    return known.get(status or 0, "")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return shown(lines[0] if lines else type(error).__name__, 120)
