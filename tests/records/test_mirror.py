"""A run at a URI and its copies, on a real S3 server on this machine."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import UsageError
from records import heartbeat
from records.fetch import fetch, recorded_searches
from records.mirror import Mirror
from records.places import copy_of
from records.remote import RemoteFolder
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from tests.support.checkpoints import write_checkpoint
from tests.support.s3 import S3, Proxy, s3_server

CONFIG = {"trial": 0, "seed": 1, "lr": 0.1, "max_steps": 300}


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as started:
        yield started


@pytest.fixture
def uri(server: S3, request: pytest.FixtureRequest) -> str:
    return server.uri(f"{request.node.name.replace('[', '-').strip(']')}/run")


def machine(uri: str, folder: Path, resume: bool = False) -> RunDirectory:
    """A search of the run on some machine that has claimed it and is filled."""
    run = RunDirectory.copied(folder, Mirror(uri, folder))
    run.claim(resume)
    return run


def content(uri: str) -> dict[str, bytes]:
    there = RemoteFolder(uri)
    return {path: there.read(path) for path in there.files()}


def begin(run: RunDirectory) -> None:
    """What the start of a search writes, and of its first trial."""
    session = {"started": time.time(), "how": "running"}
    record = run.read() or {"id": "1", "experiment": "some", "sessions": []}
    write_json(run.path / "search.json", {**record, "sessions": [*record["sessions"], session]})
    run.trial(0).write(TrialRecord(0, CONFIG))


def test_what_changes_here_changes_there_and_nothing_else(uri: str, tmp_path: Path) -> None:
    run = machine(uri, tmp_path / "copy")
    begin(run)
    (run.path / "optuna.db").write_bytes(b"live")
    run.trial(0).append({"step": 100})
    run.push()
    names = {"search.json", "trial_0000/trial.json", "trial_0000/result.json", ".searching"}
    assert content(uri).keys() == names
    RemoteFolder(uri).write("trial_0000/checkpoint_000000/state.pt", b"a worker's")
    RemoteFolder(uri).write("search.json", b"{}")  # it is not uploaded again: nothing has changed
    run.trial(0).append({"step": 200})
    (run.trial(0).path / "trial.json").unlink()
    run.push()
    after = content(uri)
    assert after["trial_0000/result.json"].count(b"\n") == 2
    assert after["search.json"] == b"{}"
    assert "trial_0000/trial.json" not in after
    assert after["trial_0000/checkpoint_000000/state.pt"] == b"a worker's"
    run.close()
    assert ".searching" not in content(uri)


def test_a_workers_checkpoint_is_taken_with_its_rows_and_dropped_there(
    uri: str, tmp_path: Path
) -> None:
    run = machine(uri, tmp_path / "copy")
    begin(run)
    trial, there = run.trial(0), RemoteFolder(uri)
    for step in (100, 200, 300):
        trial.append({"step": step})
        made = write_checkpoint(tmp_path / f"worker/{step}", CONFIG, step)
        name = f"checkpoint_{step // 100:06d}"
        for file in made.iterdir():
            there.upload(file, f"trial_0000/{name}/{file.name}")
        assert run.mirror
        run.mirror.take(trial.path / name)
        assert there.read("trial_0000/result.json").count(b"\n") == step // 100
        assert trial.checkpoints()[0].name == name
    trial.drop_older_checkpoints(2)
    run.push()
    assert set(there.names("trial_0000")) == {
        "trial.json", "result.json", "checkpoint_000002", "checkpoint_000003",
    }  # fmt: skip
    assert trial.next_checkpoint() == 4


def test_the_run_goes_on_elsewhere_from_what_was_pushed(uri: str, tmp_path: Path) -> None:
    """The first machine dies: a checkpoint is later than the rows that it pushed."""
    run, there = machine(uri, tmp_path / "one"), RemoteFolder(uri)
    begin(run)
    for step in (100, 200):
        run.trial(0).append({"step": step})
    run.push()
    for number, step in enumerate((100, 200, 300)):
        made = write_checkpoint(tmp_path / f"worker/{step}", CONFIG, step)
        for file in made.iterdir():
            there.upload(file, f"trial_0000/checkpoint_{number:06d}/{file.name}")
            there.upload(file, f"trial_0001/checkpoint_{number:06d}/{file.name}")  # not pushed yet
    there.delete(".searching")
    other = machine(uri, tmp_path / "two", resume=True)
    names = [folder.name for folder in other.trial(0).checkpoints()]
    assert names == ["checkpoint_000001", "checkpoint_000000"]
    assert other.trial(0).rows() == [{"step": 100}, {"step": 200}]
    assert other.unreadable() == []  # nothing of trial 1, whose record was never pushed
    other.push()
    assert not any("checkpoint_000002" in path for path in content(uri))


def test_a_copy_that_is_ahead_stays_and_one_that_is_behind_is_replaced(
    uri: str, tmp_path: Path
) -> None:
    run, there = machine(uri, tmp_path / "one"), RemoteFolder(uri)
    begin(run)
    run.trial(0).append({"step": 100})
    run.push()
    run.trial(0).append({"step": 200})  # the driver is killed before it pushes this
    there.write("trial_0000/gan_images/000100.png", b"of a worker")
    again = machine(uri, tmp_path / "one", resume=True)
    assert len(again.trial(0).rows()) == 2
    assert (again.trial(0).path / "gan_images/000100.png").read_bytes() == b"of a worker"
    begin(again)
    again.close()
    assert there.read("trial_0000/result.json").count(b"\n") == 2
    elsewhere = machine(uri, tmp_path / "two", resume=True)
    begin(elsewhere)
    elsewhere.trial(0).append({"step": 300})
    elsewhere.close()
    (again.path / "optuna.db").write_bytes(b"of before")
    again.trial(7).append({"step": 100})
    back = machine(uri, tmp_path / "one", resume=True)
    assert [row["step"] for row in back.trial(0).rows()] == [100, 200, 300]
    assert {file.name for file in back.path.iterdir()} == {"search.json", "trial_0000", ".copy"}


def test_a_trial_that_has_ended_there_has_all_its_reports(uri: str, tmp_path: Path) -> None:
    """Whenever the machine dies: the server shows the state after every single upload."""
    run = machine(uri, tmp_path / "copy")
    begin(run)
    assert run.mirror
    upload, seen = RemoteFolder.upload, list[tuple[bool, int]]()
    step = 100
    run.trial(0).append({"step": step})

    def uploading(self: RemoteFolder, file: Path, path: str) -> None:
        """The search goes on while files are uploaded."""
        nonlocal step
        upload(self, file, path)
        there = content(uri)
        done = b'"budget"' in there.get("trial_0000/trial.json", b"")
        seen.append((done, there.get("trial_0000/result.json", b"").count(b"\n")))
        if path == "trial_0000/result.json" and step < 400:
            step += 100
            run.trial(0).append({"step": step})
            ended = "budget" if step == 400 else None
            run.trial(0).write(TrialRecord(0, CONFIG, ended=ended))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemoteFolder, "upload", uploading)
        for _ in range(6):
            run.push()
    assert all(rows == 4 for done, rows in seen if done)
    assert seen[-1] == (True, 4)


def test_a_second_machine_is_refused_while_the_first_one_searches(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine(uri, tmp_path / "one")
    begin(first)
    first.push()
    with pytest.raises(UsageError, match=r"run two is being searched on .+, last seen \d s ago"):
        machine(uri, tmp_path / "two", resume=True)
    machine(uri, tmp_path / "one", resume=True)  # its own copy: the driver before it is dead
    monkeypatch.setattr(heartbeat, "FRESH_S", 1.0)
    time.sleep(2.1)  # the storage's clock has whole seconds
    second = machine(uri, tmp_path / "two", resume=True)
    second.push()
    with pytest.raises(UsageError, match="run one has been continued on"):
        first.push()  # it had only been asleep
    second.close()
    with pytest.raises(UsageError, match="run one has been continued on another machine"):
        first.push()


def test_a_new_run_is_refused_where_one_exists(uri: str, tmp_path: Path) -> None:
    begun = machine(uri, tmp_path / "one")
    begun.push()
    RemoteFolder(uri).delete(".searching")  # it had recorded nothing: its name is free
    run = machine(uri, tmp_path / "two")
    begin(run)
    run.close()
    with pytest.raises(UsageError, match="exists already: add --resume, or choose another --name"):
        machine(uri, tmp_path / "three")
    (tmp_path / "three" / "trial_0009").mkdir()
    run.mirror and run.mirror.discard(5)
    assert content(uri) == {}
    machine(uri, tmp_path / "three")
    assert not (tmp_path / "three" / "trial_0009").exists()  # of another run with that name


def test_searches_and_reports_find_the_runs(
    server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs = server.uri("found/runs")
    for name in ("a", "b"):
        run = machine(server.uri(f"found/runs/{name}"), tmp_path / name)
        begin(run)
        run.close()
    assert recorded_searches(runs, None).keys() == {"a", "b"}
    assert recorded_searches(runs, "b").keys() == {"b"}
    assert recorded_searches(runs, "c") == {}
    folder = fetch(runs)
    assert folder == copy_of(runs, "reports")
    files = {file: file.stat() for file in folder.rglob("*.json")}
    assert len(files) == 4
    RemoteFolder(runs).write("a/best/config.json", b"{}")
    RemoteFolder(runs).delete("b/search.json")
    fetch(runs)
    now = {file: file.stat() for file in folder.rglob("*.json")}
    assert now.keys() - files.keys() == {folder / "a/best/config.json"}
    assert files.keys() - now.keys() == {folder / "b/search.json"}
    same = files.keys() & now.keys()
    assert all(now[file].st_ino == files[file].st_ino for file in same)  # not downloaded again
    with pytest.raises(UsageError, match="there is nothing"):
        fetch(server.uri("found/nowhere"))


REFUSED: dict[str, tuple[Callable[[S3], str], str]] = {
    "bucket": (
        lambda s: s.uri("x").replace("bucket", "none", 1),
        "no such bucket: .* Make the bucket",
    ),
    "scheme": (lambda s: "foo://bucket/x", "foo is none of the schemes s3, gs, abfs, hdfs"),
    "option": (lambda s: s.uri("x") + "&what=1", "Unexpected query parameter"),
    "silent": (lambda s: s.uri("x", ("127.0.0.1", 9)), "network connection: .*connect to server"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_uri_that_cannot_be_used_is_refused_in_one_line(
    case: str, server: S3, tmp_path: Path
) -> None:
    make, words = REFUSED[case]
    began = time.monotonic()
    with pytest.raises(UsageError, match=words) as refused:
        machine(make(server), tmp_path / "copy")
    assert time.monotonic() - began < 25
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 300


def test_an_outage_is_waited_for_and_nothing_is_lost(server: S3, tmp_path: Path) -> None:
    from tuning.engine.patience import Patience

    proxy, said = Proxy(server.address), list[str]()
    run = machine(server.uri("outage", proxy.address), tmp_path / "copy")
    assert run.mirror
    run.mirror.waiting = Patience(said.append)
    begin(run)
    run.push()
    proxy.cut()
    run.trial(0).append({"step": 100})
    with pytest.MonkeyPatch.context() as patch:
        mended = list[float]()

        def sleep(seconds: float, really: Callable[[float], None] = time.sleep) -> None:
            if not mended:
                proxy.mend()
                mended.append(seconds)
            really(seconds)

        patch.setattr("tuning.engine.patience.time.sleep", sleep)
        run.push()
    assert mended
    assert [line.split()[0] for line in said] == ["waiting:", "the"]
    assert "Could not connect to server" in said[0]
    assert b'"step": 100' in content(server.uri("outage"))["trial_0000/result.json"]
    proxy.cut()
    began = time.monotonic()
    run.trial(0).append({"step": 200})
    assert not run.mirror.leave(1.0)
    assert time.monotonic() - began < 2
    assert (run.trial(0).path / "result.json").exists()
