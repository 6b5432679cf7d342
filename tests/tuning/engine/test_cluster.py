import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import UsageError
from tune_lstm import LSTMOptions, lstm_task
from tuning.engine.cluster import _cause, _together, _within
from tuning.engine.room import room_on
from tuning.preflight import check_machine

pytestmark = pytest.mark.ray

CPU_NODE = {"CPU": 4.0, "memory": 1e9}
GPU_NODE = {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("node", "request_", "room"),
    [
        (CPU_NODE, {"CPU": 1.0}, 4),
        (CPU_NODE, {"CPU": 0.5}, 8),
        (CPU_NODE, {"CPU": 3.0}, 1),
        (CPU_NODE, {"CPU": 5.0}, 0),
        (CPU_NODE, {"CPU": 1.0, "GPU": 0.5}, 0),
        (GPU_NODE, {"CPU": 1.0, "GPU": 0.5}, 4),
        (GPU_NODE, {"CPU": 1.0, "GPU": 0.4}, 4),  # two on each GPU: a fraction never spans two GPUs
        (GPU_NODE, {"CPU": 1.0, "GPU": 0.1}, 8),  # the cores are the limit
        ({"CPU": 16.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.3}, 6),
        ({"CPU": 16.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.6}, 2),
        ({"CPU": 16.0, "GPU": 8.0}, {"CPU": 1.0, "GPU": 3.0}, 2),
        (GPU_NODE, {"CPU": 1.0, "GPU": 1.0}, 2),
        (GPU_NODE, {"CPU": 1.0, "GPU": 2.0}, 1),
        (GPU_NODE, {"CPU": 1.0, "GPU": 3.0}, 0),
        ({"CPU": 0.3 * 3}, {"CPU": 0.3}, 3),  # 0.9 / 0.3 is 2.9999999999999996
    ],
)
def test_room_on_a_node(node: dict[str, float], request_: dict[str, float], room: int) -> None:
    assert room_on(node, request_) == room


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)


def refusal(**options: object) -> str:
    """Why a search with these options is refused before it starts; nothing may be left on disk."""
    with pytest.raises(UsageError) as refused:
        check(**options)
    assert list(Path().iterdir()) == []
    return str(refused.value)


def check(**options: object) -> None:
    wanted = LSTMOptions(**options)  # type: ignore[arg-type]
    check_machine(wanted, lstm_task(wanted))


def test_more_cores_than_the_machine_has_are_refused_before_ray_starts() -> None:
    assert re.fullmatch(
        r"--cpus-per-trial 10000 is more than this machine has \(\d+ .*\): ask for \d+ at most",
        refusal(cpus_per_trial=10_000),
    )


def test_an_address_where_nothing_answers_is_refused_before_ray_tries_for_minutes() -> None:
    with socket.socket() as closed:  # bound, so nobody else listens there, but not listening itself
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert refusal(address=address).startswith(
            f"--address {address}: no Ray cluster can be joined there: "
        )


@pytest.mark.parametrize("answer", [b"HTTP/1.1 505 no\r\n\r\n", b"SSH-2.0-x\r\n", b""])
def test_an_address_where_another_program_listens_is_refused_before_ray_tries_for_minutes(
    answer: bytes,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        refused = refusal(address=address)
    assert refused == (
        f"--address {address}: no Ray cluster can be joined there:"
        " another program listens at that port"
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "http://127.0.0.1:8265",
            "http://127.0.0.1:8265: that is a dashboard's address, which ray job submit takes."
            " Give",
        ),
        ("HTTPS://cluster", "HTTPS://cluster: that is a dashboard's address"),
        (
            "ray://10.0.0.1:10001",
            "ray://10.0.0.1:10001: a search does not run through Ray Client."
            " Give the host and port",
        ),
        (
            "redis://10.0.0.1:6379",
            "redis://10.0.0.1:6379: redis:// is unknown. Give the host and port",
        ),
        (
            "10.0.0.1",
            "takes host:port with a port from 1 to 65535, [IPv6]:port, auto or local, got 10.0.0.1",
        ),
        ("10.0.0.1:0", "takes host:port with a port from 1 to 65535"),
        ("10.0.0.1:65536", "takes host:port with a port from 1 to 65535"),
        ("10.0.0.1:port", "takes host:port with a port from 1 to 65535"),
        (":6379", "takes host:port with a port from 1 to 65535"),
        (
            "::1:6379",
            "takes host:port with a port from 1 to 65535, [IPv6]:port, auto or local, got ::1:6379",
        ),
        ("[::1]:1", "[::1]:1: no Ray cluster can be joined there: "),
        ("x" * 300 + ":6379", "no Ray cluster can be joined there: "),
    ],
)
def test_an_address_that_no_search_can_join_is_refused_by_the_name_of_what_gave_it(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source, options in (
        ("--address", {"address": address}),
        ("RAY_ADDRESS", {}),
        ("RAY_ADDRESS", {"address": "auto"}),
    ):
        if source == "RAY_ADDRESS":
            monkeypatch.setenv("RAY_ADDRESS", address)
        refused = refusal(**options)
        assert refused.startswith(f"{source} ")
        assert message in refused


def test_auto_is_the_cluster_that_ray_start_made_and_no_other_searchs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    for source in ("--address", "RAY_ADDRESS"):
        refused = refusal(**({"address": "auto"} if source == "--address" else {}))
        assert refused.startswith(
            f"{source} auto: no Ray cluster was started on this machine."
            " Start one with ray start --head"
        )
        monkeypatch.setenv("RAY_ADDRESS", "auto")


@pytest.mark.parametrize("address", ["", "local", " "])
def test_local_and_nothing_are_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    check()
    check(address="local")


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"set": ("hidden_dim=1e12",)}, "--set hidden_dim (now up to 1e+12)"),
        ({"set": ("hidden_dim=128..1e12",)}, "--set hidden_dim (now up to 1e+12)"),
        ({"set": ("hidden_dim=128,1e12",)}, "--set hidden_dim (now up to 1e+12)"),
        ({"set": ("batch_size=1e9",)}, "--set batch_size (now up to 1e+09)"),
        ({"set": ("batch_size=1e7", "hidden_dim=4096")}, "--set batch_size"),
        ({"set": ("batch_size=32,1e9",), "space": "extended"}, "--set batch_size"),
        ({"input_length": 10**11}, "--input-length (now up to 1e+11)"),
        ({"input_length": 10**8, "model": "rnn"}, "--input-length (now up to 1e+08)"),
    ],
)
def test_settings_that_no_memory_holds_are_refused_with_the_one_to_lower(
    options: dict[str, object], setting: str
) -> None:
    refused = refusal(**options, max_concurrent=1)
    assert re.search(
        r"a trial needs about [\d.,]+ [A-Z]B of memory and this machine has [\d.]+ GB free: lower ",
        refused,
    )
    assert setting in refused


def test_more_trials_at_once_than_memory_holds_are_refused() -> None:
    refused = refusal(cpus_per_trial=1e-4, num_samples=900_000)
    assert re.fullmatch(
        r"\d+ trials at once need about [\d.]+ [TP]B of memory .*, or --max-concurrent", refused
    )


def test_a_thousand_time_steps_are_allowed() -> None:
    check(input_length=1_000)


def test_more_disk_than_is_free_is_refused() -> None:
    from dataclasses import replace

    from trainables.demand import Demand

    options = LSTMOptions()
    heavy = replace(lstm_task(options), demand=lambda settings: Demand(memory=0, checkpoint=1e18))
    with pytest.raises(
        UsageError,
        match=r"no run can be kept in .*: [\d.]+ EB of disk are needed and [\d.]+ .B are free\."
        r" Make room",
    ):
        check_machine(options, heavy)


def test_too_few_open_files_are_refused() -> None:
    assert refused_in_a_process(
        lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    ).startswith("this user may open 64 files and Ray needs ")


def test_too_few_processes_are_refused() -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))
        if os.getuid() == 0:  # whom the limit does not bind
            os.setuid(65534)

    assert "more processes and threads and Ray needs" in refused_in_a_process(few)


def refused_in_a_process(limit: Callable[[], None]) -> str:
    """The refusal in a forked process with a limit of its own: a limit cannot be raised again."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "not refused"
        try:
            limit()
            check(max_concurrent=2, storage_path="/tmp")
        except UsageError as error:
            said = str(error)
        except BaseException as error:
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as message:
        said = message.read()
    os.waitpid(child, 0)
    return said


def test_a_token_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path.parent / "empty"
    empty.write_text("")
    for file, problem in (
        (Path("/nowhere/token"), "No such file or directory"),
        (empty, "the file is empty"),
    ):
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
        assert refusal().startswith(
            f"RAY_AUTH_TOKEN_PATH={file}: {problem}. Unset the variable, or"
        )


FAILING = """
from command_line import exit_usage_error
from tune_lstm import LSTMOptions, lstm_task
from tuning.engine.cluster import connect
options = LSTMOptions()
try:
    connect(options, lstm_task(options))
except ValueError as error:
    exit_usage_error(str(error))
"""


def test_a_ray_that_does_not_start_is_refused_in_a_line_with_its_cause_and_its_logs() -> None:
    # Ray fails on this once its first processes run.
    environment = {**os.environ, "RAY_OVERRIDE_RESOURCES": '{"CPU":'}
    root = Path(__file__).parent.parent.parent.parent
    result = subprocess.run(
        [sys.executable, "-c", FAILING],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    said = (
        "error: Ray does not start on this machine:"
        " Expecting value: line 1 column 8 (char 7) (its logs are in /"
    )
    assert said in line
    assert line.endswith("/ray/session_latest/logs)")


def test_a_start_that_never_ends_is_ended() -> None:
    with pytest.raises(TimeoutError, match="it was not ready within 1 s"), _within(1):
        time.sleep(10)


def test_of_an_error_with_a_log_in_it_the_last_error_of_the_log_is_told() -> None:
    log = "The last 20 lines of dashboard.log:\n  File x\nOSError: AF_UNIX path too long\n"
    assert _cause(RuntimeError(log)) == "OSError: AF_UNIX path too long"
    assert (
        _cause(ConnectionError("It looks wrong.\n To fix this, either:\n 1. Unset it"))
        == "It looks wrong. To fix this, either: 1. Unset it"
    )
    assert _cause(ValueError()) == "ValueError"


LISTENING = """
import os, socket, sys
taken = [socket.socket() for _ in range(14)]
for port, one in zip((*range(8265, 8276), 44217, 44227, 52365), taken):
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        pass  # another Ray's
from tuning.engine.cluster import connect
from tune_lstm import LSTMOptions, lstm_task
import ray
options = LSTMOptions(max_concurrent=1)
cluster = connect(options, lstm_task(options))
ray.get(ray.remote(lambda: 1).remote())
for one in taken:
    one.close()
print(*cluster.notes, flush=True)
print(os.environ["TMPDIR"], ray._private.worker._global_node.get_temp_dir_path(), flush=True)
sys.stdin.read()
"""


def listening(pid: int) -> set[str]:
    """The addresses on which a process and all that it started listen, as /proc/net has them."""
    inodes, waiting = set(), [pid]
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        for task in (process / "task").glob("*/children"):
            waiting += map(int, task.read_text().split())
        for open_file in (process / "fd").iterdir():
            if open_file.is_symlink() and (target := os.readlink(open_file)).startswith("socket:["):  # noqa: PTH115
                inodes.add(target[8:-1])
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {row[1].rsplit(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


@pytest.mark.slow
def test_ray_listens_on_loopback_alone_beside_taken_ports_a_long_tmpdir_and_a_home_that_is_none(
    tmp_path: Path,
) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    (tmp_path / "home").write_text("a file")
    environment = {
        **os.environ,
        "TMPDIR": str(long),
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": "",
    }
    root = Path(__file__).parent.parent.parent.parent
    command = [sys.executable, "-c", LISTENING]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        notice, folders = process.stdout.readline(), process.stdout.readline().split()
        addresses = listening(process.pid)
        out, err = process.communicate("")
    assert err == ""
    assert out == ""
    assert re.match(
        r"nothing can be written in ~/\.ray: the dashboard's token is in /.*/auth_token", notice
    )
    token = Path(notice.split()[-1])
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    own = f"/tmp/ray-{os.geteuid()}"
    assert folders == [own, f"{own}/ray"]
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert addresses
    assert addresses <= loopback


@pytest.mark.parametrize(
    ("request_", "slots", "together"),
    [
        ({"CPU": 1.0}, 2, {"CPU": 2.0}),
        ({"CPU": 1.0, "GPU": 0.5}, 2, {"CPU": 2.0, "GPU": 1.0}),
        # A trial trains on one GPU, however many there are.
        ({"CPU": 1.0, "GPU": 0.5}, 8, {"CPU": 8.0, "GPU": 1.0}),
        ({"CPU": 2.0, "GPU": 0.3}, 3, {"CPU": 6.0, "GPU": pytest.approx(0.9)}),
        ({"CPU": 1.0, "GPU": 2.0}, 2, {"CPU": 2.0, "GPU": 2.0}),
    ],
)
def test_a_trial_alone_has_what_all_slots_have(
    request_: dict[str, float], slots: int, together: dict[str, float]
) -> None:
    assert _together(request_, slots) == together
