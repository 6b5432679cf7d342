"""Leaving early: small programs that are signalled wherever a search may be, without Ray."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.conftest import ROOT
from tuning.interruption import NOTHING_BEGUN

BEGINNING = """
import os, signal, sqlite3, sys, threading, time
from tuning.interruption import early_exit
early_exit.install()
early_exit.last_words = lambda lost: f"lost: {lost}" if lost else "go on with: this"
"""

READY = 'print("ready", flush=True)\n'

BUSY = {
    "Python": "while True: pass",
    "a wait in C": "threading.Lock().acquire() and threading.Event().wait()",
    "a database that is locked": """
held = sqlite3.connect("held.db"); held.execute("BEGIN EXCLUSIVE")
sqlite3.connect("held.db", timeout=60).execute("CREATE TABLE t (x)")
""",
    "a print that is cut off": "while True: print('x' * 100, file=sys.stderr)",
    "handlers of somebody else's": """
with early_exit.handlers_kept():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
""",
}


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Popen[bytes]]:
    """Starts a program, in a process group of its own, and waits until it is ready."""

    def start(text: str, *, beginning: str = BEGINNING, before: str = "") -> Popen[bytes]:
        command = [*before.split(), sys.executable, "-c", beginning + READY + text]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = Popen(
            command, cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    return start


Program = Callable[..., Popen[bytes]]


def outcome(process: Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("busy_with", BUSY)
def test_a_signal_ends_the_program_whatever_it_is_busy_with(
    program: Program, busy_with: str
) -> None:
    process = program(BUSY[busy_with])
    time.sleep(0.2)
    process.terminate()
    status, out, err = outcome(process)
    assert (status, out) == (130, "go on with: this\n")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_every_signal_that_asks_a_program_to_end(program: Program, number: signal.Signals) -> None:
    process = program("time.sleep(60)")
    process.send_signal(number)
    assert outcome(process) == (130, "go on with: this\n", "")


def test_two_signals_at_once_are_one_request(program: Program) -> None:
    """``timeout`` signals its child and then its whole group; systemd sends SIGTERM and SIGHUP."""
    process = program(
        "time.sleep(60)",
        beginning=BEGINNING
        + "early_exit.last_words = lambda lost: time.sleep(0.3) or 'recorded'\n",
    )
    process.terminate()
    os.killpg(process.pid, signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    assert outcome(process) == (130, "recorded\n", "")


def test_a_second_request_leaves_at_once(program: Program) -> None:
    process = program(
        "time.sleep(60)",
        beginning=BEGINNING + "early_exit.last_words = lambda lost: time.sleep(60)\n",
    )
    process.send_signal(signal.SIGINT)
    time.sleep(1.3)
    process.send_signal(signal.SIGINT)
    assert outcome(process) == (130, "", "")


def test_nohup_keeps_a_program_running_when_the_terminal_closes(program: Program) -> None:
    process = program("time.sleep(0.5); print('done')", before="nohup")
    process.send_signal(signal.SIGHUP)
    status, out, _ = outcome(process)
    assert (status, out) == (0, "done\n")


def test_a_closed_console_changes_nothing(program: Program) -> None:
    process = program("time.sleep(60)")
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 130


def test_before_anything_is_recorded_it_says_so(program: Program) -> None:
    begun = "from tuning.interruption import early_exit\nearly_exit.install()\n"
    process = program("import time\ntime.sleep(60)", beginning=begun)
    process.send_signal(signal.SIGINT)
    assert outcome(process) == (130, NOTHING_BEGUN + "\n", "")


def test_what_the_program_needs_is_lost(program: Program) -> None:
    assert outcome(program("early_exit.lost = lambda: 'the sun'\ntime.sleep(60)")) == (
        1,
        "",
        "lost: the sun\n",
    )


def test_a_signal_that_took_away_what_the_program_needs_is_a_signal(program: Program) -> None:
    text = """
began = time.monotonic()
early_exit.lost = lambda: time.monotonic() > began + 0.5 and "the sun" or None
threading.Timer(0.75, os.kill, (os.getpid(), signal.SIGTERM)).start()
time.sleep(60)
"""
    assert outcome(program(text)) == (130, "go on with: this\n", "")


def test_words_that_fail_are_said_all_the_same(program: Program) -> None:
    process = program(
        "time.sleep(60)", beginning=BEGINNING + "early_exit.last_words = lambda lost: 1 / 0\n"
    )
    process.terminate()
    assert outcome(process) == (
        130,
        "interrupted (and then ZeroDivisionError: division by zero)\n",
        "",
    )


def test_after_the_end_is_settled_a_signal_changes_no_status(program: Program) -> None:
    process = program("early_exit.settle(0)\nprint('settled', flush=True)\ntime.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == b"settled\n"
    process.terminate()
    assert outcome(process) == (0, "", "")


LAST = """
class Last:
    def __del__(self, sleep=time.sleep, write=os.write):
        write(1, b"last\\n")
        sleep(1.5)

sys.modules["last"] = Last()
early_exit.settle(0)
early_exit.finish()
"""


def test_a_signal_while_python_itself_ends_changes_no_status(program: Program) -> None:
    process = program(LAST)
    assert process.stdout is not None
    assert process.stdout.readline() == b"last\n"
    process.send_signal(signal.SIGINT)
    assert outcome(process) == (0, "", "")
