"""One process works in a folder, also where several come at once or the clock was set."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil
import pytest

from common import lock
from common.errors import UserError

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")


@posix
def test_of_many_claims_at_once_one_holds(tmp_path: Path) -> None:
    start, end = (threading.Barrier(8, timeout=20) for _ in range(2))
    held: list[int] = []
    refused: list[str] = []

    def claim(number: int) -> None:
        start.wait()
        try:
            with lock.locked(tmp_path / "live"):
                held.append(number)
                end.wait()
        except UserError as error:
            refused.append(str(error))
            end.wait()

    for _ in range(5):
        held.clear()
        threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
    assert len(refused) == 5 * 7
    assert all("is using it" in line for line in refused)
    with lock.locked(tmp_path / "live"):  # it was released
        pass


@posix
def test_a_clock_that_was_set_lets_nobody_else_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock.locked(tmp_path):
        created = psutil.Process().create_time()
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: created + 3600)
        with pytest.raises(UserError, match="is using it"), lock.locked(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"), lock.locked(tmp_path / "file" / "live"):
        pass


def test_a_claim_is_taken_once_and_released(tmp_path: Path) -> None:
    claim = lock.Claim(tmp_path / "live")
    claim.take()
    claim.take()
    with pytest.raises(UserError, match="is using it"):
        lock.Claim(tmp_path / "live").take()
    claim.release()
    claim.release()
    with lock.locked(tmp_path / "live"):
        pass
