"""The settings of an ablation, which its folder records: they are the same when it is continued."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import write_json
from common.reading import read_json
from common.settings import option_name

FORMAT = 1
FILE = "ablation.json"


def record_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new ablation, or check that they are those that it was started with.

    Args:
        out: the folder.
        settings: JSON values by the name of their option; a setting that only one version knows is ignored.

    Raises:
        UserError: the folder is not an ablation's, or a setting differs: the message names it.
    """
    path = out / FILE
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"--out {out}: not empty and not an ablation; choose a new or empty folder")
        try:
            write_json(path, {"format": FORMAT, "settings": dict(settings)})
        except OSError as error:
            raise UserError(f"--out {out}: can't be written ({error.strerror})") from None
        return
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("settings"), dict):
        raise UserError(f"{path}: damaged, or of another version; choose another --out")
    before = about["settings"]
    for name, value in settings.items():
        if name in before and before[name] != value:
            raise UserError(
                f"{out} was started with {_option(name, before[name])}, not with {_option(name, value)};"
                " use the same settings, or choose another --out"
            )


def _option(name: str, value: Any) -> str:
    if name == "env_id":
        return str(value)
    if isinstance(value, bool):
        return option_name(name if value else f"no_{name}")
    return " ".join([option_name(name), *map(str, value if isinstance(value, list) else [value])])
