"""Damaged files that are chosen by the code they reach: python -m tests.fuzz.guided manifest -max_total_time=3600.

`tests.fuzz.soak` damages files blindly; here atheris (libFuzzer) keeps those that reach new lines of the readers and
damages them further. It begins with the sound file. An exception that is no `UserError`, ten seconds or 800 MB end it,
and the file is kept as ``crash-...``. Words with one dash are libFuzzer's. It needs `pip install atheris`, which has
wheels for Linux up to Python 3.11 and some later ones.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("error: atheris is not installed; pip install atheris")

READ_BY = ["agents", "common", "experiments", "learning", "scores", "viewer", "tests.fuzz"]
with atheris.instrument_imports(include=READ_BY):
    from common.errors import MOST, UserError
    from tests.fuzz.readers import READERS, sound


def main() -> None:
    """Fuzz the reader that the command line names, until libFuzzer ends; it does not return."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"error: name a reader: {', '.join(READERS)}")
    reader = READERS[sys.argv[1]]
    folder = Path(tempfile.mkdtemp(prefix="tidepool-guided-"))
    base, corpus = folder / "files", folder / "corpus"
    base.mkdir()
    corpus.mkdir()
    sound(base)
    path = base / reader.file
    (corpus / "sound").write_bytes(path.read_bytes())
    reader.read(base)  # what is imported and compiled at first is not the file's doing

    def one(data: bytes) -> None:
        path.write_bytes(data)
        try:
            reader.read(base)
        except UserError as error:
            if len(str(error)) > MOST or not str(error).isprintable():
                raise ValueError(f"message {str(error)!r}") from error

    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=800", *sys.argv[2:], str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
