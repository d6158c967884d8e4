"""What is done with the files of runs: those that nothing needs any more removed, a run packed into one file."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from common.errors import UserError
from common.lock import FILE, Claim
from common.reading import JSON_BYTES, check_folder, opened, read_file
from experiments.run_status import MANIFEST, WEIGHTS, processes

LIVE = (f"live/{FILE}", "live/watcher.json", "live/manifest.json", "live/network.safetensors", "live/requests.jsonl")
# what only resuming needs, and what a killed process left behind
SPARE = (
    *(f"state/*.{kind}" for kind in ("json", "safetensors", "npy", "bin", "tmp", "part")),
    *("state/*.part/*", ".*.tmp", "*/.*.tmp", *LIVE),
)
# all that a run makes
MADE = (
    *("config.json", "metrics.csv", "eval.csv", "events.csv", "fingerprints.json", "tracking.json"),
    "events.out.tfevents.*",
    *(f"{folder}/{name}" for folder in ("agent", "milestones/*") for name in (MANIFEST, WEIGHTS)),
    *(f"videos/*.{kind}" for kind in ("mp4", "gif", "png")),
    *SPARE,
)
# of these what is packed; tracking.json names runs in its owner's accounts
PACKED = tuple(name for name in MADE if name not in SPARE and name != "tracking.json")
STATE = tuple(name for name in SPARE if name.startswith("state/"))
AGENT_BYTES = 2**34
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that the format knows
TRIES = 5  # to read an agent that is written meanwhile


def files_of(folder: Path, patterns: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Yield the regular files of a run whose names fit, and those names with slashes; links are left alone."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            if any(fnmatch.fnmatchcase(inside, one) for one in patterns) and path.is_file() and not path.is_symlink():
                yield path, inside


def removable(folder: Path, whole: bool) -> tuple[int, int]:
    """Return how many files, and how many bytes, `prune` would remove."""
    sizes = [path.stat().st_size for path, _ in files_of(folder, MADE if whole else SPARE)]
    return len(sizes), sum(sizes)


def prune(folder: Path, whole: bool) -> list[str]:
    """Remove what only resuming needs, or all that a run made; return the names of what is left, at most a few.

    Args:
        folder: of the run.
        whole: agent, scores and curves too.

    Raises:
        UserError: a process trains this run, or a file can't be removed.
    """
    if found := processes(folder):
        raise UserError(f"{folder}: process {found[0]} trains it; stop it first, for example with kill -INT {found[0]}")
    with suppress(OSError):
        (folder / "live" / FILE).unlink(missing_ok=True)  # of a process that is gone
    claim = Claim(folder / "live")
    claim.take()  # so that none resumes it meanwhile
    try:
        for path, inside in files_of(folder, MADE if whole else SPARE):
            if inside != f"live/{FILE}":
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: can't be removed ({error.strerror})") from None
    finally:
        claim.release()
        _remove_empty(folder, whole)
    return [inside for _, inside in zip(range(3), _names(folder), strict=False)] if whole else []


def _names(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name).relative_to(folder).as_posix() for name in sorted(names))


def _remove_empty(folder: Path, whole: bool) -> None:
    for place, _, _ in os.walk(folder, topdown=False):
        if whole or PurePosixPath(Path(place).relative_to(folder).as_posix()).parts[:1] in (("state",), ("live",)):
            with suppress(OSError):  # not empty
                os.rmdir(place)


def export(folder: Path, path: Path, with_state: bool = False, overwrite: bool = False) -> int:
    """Pack a run into one zip file, in a folder of its name; return the number of files.

    Args:
        folder: of the run.
        path: of the file.
        with_state: what resuming needs too, which may be gigabytes.
        overwrite: a file that is there already.

    Raises:
        UserError: the run has links out of its folder, or the file is there or can't be written.
    """
    if path.suffix.lower() != ".zip":
        raise UserError(f"{path}: a run is exported to a file that ends in .zip")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path}: the file exists; --overwrite replaces it")
    check_folder(folder)
    if with_state and (found := processes(folder)):
        raise UserError(f"{folder}: process {found[0]} trains it, so its state changes; leave --with-state out")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            count = _pack(folder, archive, with_state)
        os.replace(beside, path)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return count


def _pack(folder: Path, archive: zipfile.ZipFile, with_state: bool) -> int:
    packed: dict[str, bytes | Path] = {}
    for path, inside in files_of(folder, (*PACKED, *STATE) if with_state else PACKED):
        if not path.name.startswith("."):  # a film that is being made, or that was killed
            packed[inside] = path
    packed |= agent_files(folder / "agent", "agent/")
    for inside, content in packed.items():
        name = f"{folder.resolve().name}/{inside}"
        if isinstance(content, bytes):
            archive.writestr(zipfile.ZipInfo(name, max(time.localtime()[:6], ZIP_EPOCH)), content, zipfile.ZIP_DEFLATED)
            continue
        info = zipfile.ZipInfo(name, max(time.localtime(content.stat().st_mtime)[:6], ZIP_EPOCH))
        info.compress_type = zipfile.ZIP_DEFLATED
        with opened(content) as source, archive.open(info, "w", force_zip64=True) as target:
            while data := source.read(2**20):
                target.write(data)
    return len(packed)


def agent_files(folder: Path, prefix: str = "") -> dict[str, bytes]:
    """Return the files of an agent that may be written meanwhile, manifest and weights of one moment; {} without one.

    Raises:
        UserError: the weights are not those of the manifest.
    """
    if not os.path.lexists(folder / MANIFEST):
        return {}
    for attempt in range(TRIES):
        manifest = read_file(folder / MANIFEST, JSON_BYTES)
        weights = read_file(folder / WEIGHTS, AGENT_BYTES)
        with suppress(ValueError, TypeError, AttributeError):
            if json.loads(manifest).get("sha256") == hashlib.sha256(weights).hexdigest():
                return {prefix + MANIFEST: manifest, prefix + WEIGHTS: weights}
        time.sleep(0.1 * attempt)
    raise UserError(f"{folder}: damaged, {WEIGHTS} is not the one that {MANIFEST} describes")
