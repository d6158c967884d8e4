"""share.py push and play.py hf:OWNER/NAME, against a small hub on the loopback address."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import play
import share
from agents import load_policy
from common import hub
from common.errors import UserError
from common.files import PRETRAINED
from experiments import model_card
from scores.runs import read_run
from tests.scores.helpers import make_run

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the library's, for large files
TOKEN, COMMIT = "hf_test", "0123456789abcdef0123456789abcdef01234567"
MANIFEST, WEIGHTS = "agent/manifest.json", "agent/network.safetensors"


class Hub(ThreadingHTTPServer):
    """As much of the hub's interface as the library asks for; repositories are folders in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.sizes: dict[str, int] = {}  # that it says, and which may be wrong
        self.asked: list[str] = []
        self.refuses: tuple[str, int] = ("none", 0)  # what is in a path, and the status; 0: it hangs
        self.large: dict[str, bytes] = {}  # that were sent beside a commit, by their checksums

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self, code: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refused(self) -> bool:
        part, status = self.server.refuses
        if part not in self.path:
            return False
        if status:
            self._answer(status, b'{"error": "no"}')
        else:
            time.sleep(3.0)
            self.close_connection = True
        return True

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        if self._refused():
            pass
        elif path == "/api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self._answer(200, b'{"name": "ann", "type": "user"}') if known else self._answer(401)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            files = self.server.repositories.get(match[1])
            if files is None:
                self._answer(404, X_Error_Code="RepoNotFound")
                return
            sizes = {name: self.server.sizes.get(name, len(data)) for name, data in files.items()}
            siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
            body = {
                "id": match[1],
                "modelId": match[1],
                "sha": COMMIT,
                "siblings": siblings,
                "tags": [],
                "private": False,
            }
            self._answer(200, json.dumps(body).encode(), Content_Type="application/json")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            data = self.server.repositories[match[1]][match[3]]
            tag = hashlib.sha1(data).hexdigest()
            self._answer(200, data, ETag=f'"{tag}"', X_Repo_Commit=COMMIT)
        else:
            self._answer(404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        if self._refused():
            pass
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b'{"error": "Invalid credentials"}')
        elif self.path == "/api/repos/create":
            about = json.loads(body)
            name = f"{about.get('organization', 'ann')}/{about['name']}"
            self.server.repositories.setdefault(name, {})
            self._answer(200, json.dumps({"url": f"{self.server.address}/{name}"}).encode())
        elif match := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path.split("?")[0]):
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"] == WEIGHTS else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            self._answer(200, json.dumps({"files": files}).encode())
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            wanted = json.loads(body)
            assert "xet" not in wanted["transfers"]
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.server.address}/large/{one['oid']}"}}}
                for one in wanted["objects"]
            ]
            self._answer(200, json.dumps({"transfer": "basic", "objects": objects}).encode())
        elif match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path.split("?")[0]):
            repository = self.server.repositories[match[1]]
            for line in map(json.loads, body.decode().splitlines()):
                about = line["value"]
                if line["key"] == "file":
                    repository[about["path"]] = base64.b64decode(about["content"])
                elif line["key"] == "lfsFile":
                    repository[about["path"]] = self.server.large[about["oid"]]
            answer = {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.server.address}/{match[1]}/commit/1"}
            self._answer(200, json.dumps(answer).encode())
        else:
            self._answer(200, b'{"errors": [], "warnings": []}')

    def do_PUT(self) -> None:
        self.server.asked.append(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._refused():
            self.server.large[self.path.rpartition("/")[2]] = data
            self._answer(200)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    try:
        hub.library()
    except UserError:
        pytest.skip("pip install -e '.[hub]'")
    found = Hub()
    hub._wait_no_longer.cache_clear()  # each test has a client of its own
    for name, value in (
        ("HF_ENDPOINT", found.address),
        ("HF_TOKEN", TOKEN),
        (hub.CACHE_VARIABLE, str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with an agent and two evaluations."""
    folder = tmp_path / "runs" / "tidepool-Waterworld-v1__d3qn__1__20261127-101530"
    shutil.copytree(PRETRAINED / "waterworld", folder)
    return folder


def published(server: Hub, name: str = "ann/eater") -> dict[str, bytes]:
    """Put an agent there, not by ourselves; return its files."""
    names = (MANIFEST, WEIGHTS, "config.json", "eval.csv")
    server.repositories[name] = {one: (PRETRAINED / "waterworld" / one).read_bytes() for one in names}
    return server.repositories[name]


def test_what_is_pushed_is_played(server: Hub, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert share.main(["push", run.name, "ann/eater", "--no-film"]) == 0
    out = capsys.readouterr().out
    assert f"{server.address}/ann/eater" in out
    assert "anybody plays it:  python play.py hf:ann/eater" in out
    files = server.repositories["ann/eater"]
    assert set(files) == {MANIFEST, WEIGHTS, "README.md", "config.json", "eval.csv", "metrics.csv", "curve.png"}
    assert files[WEIGHTS] == (run / WEIGHTS).read_bytes()
    assert list(server.large.values()) == [files[WEIGHTS]]
    assert play.main(["hf:ann/eater", "--record", "a.png", "--steps", "2"]) == 0
    assert "d3qn in tidepool/Waterworld-v1" in capsys.readouterr().out
    folder = hub.local("hf:ann/eater")
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    found, _ = read_run(folder)
    assert found is not None  # its scores came along


def test_an_agent_is_fetched_once_and_played_without_a_network(
    server: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published(server)
    first = hub.local("hf:ann/eater")
    fetched = [path for path in server.asked if "/resolve/" in path]
    assert {path.split(f"{COMMIT}/")[1] for path in fetched} == {MANIFEST, WEIGHTS, "config.json", "eval.csv"}
    assert hub.local("hf:ann/eater") == first
    assert [path for path in server.asked if "/resolve/" in path] == fetched
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert hub.local("hf:ann/eater") == first
    assert "the hub can't be reached; hf:ann/eater as it was fetched before" in capsys.readouterr().out
    for other in ("hf:ann/other", "hf:ann/eater@v2"):  # another revision is not that one
        with pytest.raises(UserError, match=rf"{other}: the hub can't be reached"):
            hub.local(other)


def test_only_files_of_an_agent_are_fetched_and_they_are_checked(server: Hub) -> None:
    files = published(server)
    files["evil.py"] = b"import os; os.system('true')"
    files["agent/../../outside"] = b"x"
    files["pytorch_model.bin"] = b"\x80\x04"
    folder = hub.local("hf:ann/eater")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {MANIFEST, WEIGHTS, "config.json", "eval.csv"}
    files = published(server, "ann/damaged")
    files[WEIGHTS] = files[WEIGHTS][:-4] + b"\0\0\0\0"
    with pytest.raises(UserError, match=r"hf:ann/damaged: what the hub has is damaged, agent/network\.safetensors"):
        hub.local("hf:ann/damaged")


def test_a_copy_that_was_damaged_here_is_fetched_again(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    files = published(server)
    weights = hub.local("hf:ann/eater") / WEIGHTS
    weights.write_bytes(files[WEIGHTS][:100])
    with monkeypatch.context() as offline:
        offline.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(UserError, match="hf:ann/eater: the hub can't be reached"):
            hub.local("hf:ann/eater")
    load_policy(hub.local("hf:ann/eater"))
    assert weights.read_bytes() == files[WEIGHTS]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:nobody/nothing", "there is none on the hub, or it is private"),
        ("hf:ann/empty", "no agent of this program, it lacks agent/manifest.json and agent/network.safetensors"),
        ("hf:ann/large", r"agent/network.safetensors has 2,000 MB; at most 1,000 MB are fetched"),
        ("hf:ann", "a name on the hub is OWNER/NAME"),
        ("hf:../../etc", "a name on the hub is OWNER/NAME"),
    ],
)
def test_what_can_t_be_played_is_one_line(server: Hub, name: str, message: str) -> None:
    server.repositories["ann/empty"] = {"README.md": b"hello"}
    if name == "hf:ann/large":
        published(server, "ann/large")
        server.sizes[WEIGHTS] = 2_000_000_000
    with pytest.raises(UserError, match=message):
        play.main([name])
    assert not [path for path in server.asked if "/resolve/" in path]


def test_pushing_needs_a_login_and_a_scored_agent(
    server: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_card, "_films", None)  # which takes a minute: the login is asked for before
    for token in ("hf_wrong", ""):
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "nobody"))
        with pytest.raises(UserError, match="ann/eater: not logged in, or the token is not valid: hf auth login"):
            share.main(["push", str(run), "ann/eater"])
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (run / "eval.csv").unlink()
    with pytest.raises(UserError, match="no evaluation yet"):
        share.main(["push", str(run), "ann/eater", "--no-film"])
    with pytest.raises(UserError, match="no agent here yet"):
        share.main(["push", str(make_run(tmp_path / "runs", [1.0])), "ann/eater", "--no-film"])
    assert "ann/eater" not in server.repositories


@pytest.mark.parametrize(
    ("part", "status", "message"),
    [
        ("repos/create", 403, "not allowed with this login; log in as somebody who is: hf auth login"),
        ("repos/create", 413, "the hub answers with 413; that is too large for it; share.py push --no-film"),
        ("repos/create", 429, "the hub answers with 429; it had too many requests; try again in some minutes"),
        ("repos/create", 500, "the hub answers with 500; that is a fault of its own; try again later"),
        ("/commit/", 409, "the hub answers with 409; somebody else changes the same at this moment; try again; http"),
        ("whoami", 0, "the hub can't be reached (timed out)"),
        ("repos/create", 0, "the hub can't be reached (timed out)"),
        ("/commit/", 0, "the hub can't be reached (timed out); http"),
        ("/large/", 403, "not allowed with this login; log in as somebody who is: hf auth login; http"),
        ("/large/", 0, "the hub can't be reached (timed out); http"),
    ],
)
def test_a_hub_that_refuses_or_hangs_is_one_line_with_the_cure(
    server: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, part: str, status: int, message: str
) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.5)
    hub._wait_no_longer.cache_clear()  # no client has the usual time
    server.refuses = (part, status)
    with pytest.raises(UserError, match=re.escape(f"ann/eater: {message}")) as raised:
        share.main(["push", str(run), "ann/eater", "--no-film"])
    if part == "/commit/":
        assert ("push once more" in str(raised.value)) == (status == 0)  # it may have been done, or surely not
    if part == "/large/":
        assert "nothing was put into it" in str(raised.value)
    if part in ("/commit/", "/large/"):
        assert len([path for path in server.asked if part in path]) == 1  # the library would ask six times


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "not allowed with this login"),
        (404, "the hub answers with 404; there is none on the hub, or it is private"),
        (429, "the hub answers with 429; it had too many"),
        (0, "the hub can't be reached (timed out)"),
    ],
)
def test_an_agent_that_the_hub_does_not_give_is_one_line(
    server: Hub, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    published(server)
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.5)
    hub._wait_no_longer.cache_clear()
    server.refuses = ("/api/models/", status)
    with pytest.raises(UserError, match=re.escape(f"hf:ann/eater: {message}")):
        play.main(["hf:ann/eater"])


def test_the_card_says_score_protocol_and_how_it_was_trained(
    server: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_card, "FILM_STEPS", 6)
    share.main(["push", run.name, "ann/eater", "--out", "card"])
    card = Path("card/README.md").read_text()
    found, _ = read_run(run)
    assert found is not None
    mean = sum(one.episode_return for one in found.episodes) / len(found.episodes)
    for words in (
        f"value: {mean:.2f} +/- ",
        "type: mean_reward",
        "type: tidepool/Waterworld-v1",
        "protocol: waterworld-1000",
        f"| tidepool/Waterworld-v1 | waterworld-1000 | {len(found.episodes)} | {mean:.4g} |",
        "python play.py hf:ann/eater",
        "](replay.gif)",
        "](curve.png)",
        "python train.py --config config.json",
    ):
        assert words in card, words
    assert 0 < Path("card/replay.gif").stat().st_size < 4_000_000
    assert "ann/eater" not in server.repositories
    with pytest.raises(UserError, match="it is there already"):
        share.main(["push", run.name, "ann/eater", "--out", "card"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("no")])
def test_what_is_stopped_leaves_nothing(
    run: Path, tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason="pip install -e '.[hub]'")

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(model_card, "_films", fail)
    with pytest.raises(BaseException, match="no" if isinstance(error, UserError) else None):
        share.main(["push", str(run), "ann/eater", "--out", str(tmp_path / "x" / "card")])
    assert list((tmp_path / "x").iterdir()) == []


def test_a_path_of_this_machine_and_markup_stay_out_of_the_card(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [1.0, 2.0])
    about = json.loads((folder / "config.json").read_text())
    about |= {"from": {"path": "/home/ann/secret/run", "agent": "<b>x</b>"}, "commit": "`rm`<script>"}
    (folder / "config.json").write_text(json.dumps(about))
    cleaned = model_card._about(folder)
    assert cleaned["from"]["path"] == "run"
    found, _ = read_run(folder)
    assert found is not None
    assert not set("<>`") & set("\n".join(model_card._training(found, cleaned, 3.0)[:-1]))


def test_without_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for main, words in ((play.main, ["hf:ann/eater"]), (share.main, ["push", str(run), "ann/eater"])):
        with pytest.raises(UserError, match=r"pip install -e '\.\[hub\]'"):
            main(words)


@pytest.mark.parametrize("words", [[], ["pull", "a", "b/c"], ["push", "a"]])
def test_other_words_are_said_to_be_wrong(words: list[str]) -> None:
    with pytest.raises(UserError, match="push RUN OWNER/NAME"):
        share.main(words)


def test_errors_of_the_network_in_words() -> None:
    class ConnectError(Exception):
        pass

    class HfHubHTTPError(Exception):
        response: Any = None

    refused = HfHubHTTPError("401 Client Error")
    refused.response = type("Response", (), {"status_code": 401})
    assert hub.in_words("a/b", refused) == "a/b: not logged in, or the token is not valid: hf auth login"
    full = OSError(28, "No space left on device", "/cache/x")
    assert hub.in_words("a/b", full).startswith("a/b: /cache/x can't be written (No space left on device); TIDEPOOL_")
    assert hub.in_words("a/b", ConnectError("no route\nto host")) == "a/b: the hub can't be reached (no route)"
    assert hub.in_words("a/b", ValueError("\x1b[2Jodd")) == r"a/b: the hub answers with an error (\x1b[2Jodd)"
