"""A real Slurm on this machine's loopback, with two nodes of one CPU each, for a test to submit
jobs to. Source: https://slurm.schedmd.com/programmer_guide.html#multiple_slurmd_support"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

NODES = ("n1", "n2")

CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=EXCLUSIVE
"""


def has_slurm() -> bool:
    """Whether Slurm's daemons and commands are in PATH."""
    return all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "scontrol"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Slurm:
    """Its daemons. ``variables`` are the environment of what is submitted."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        (folder / "state").mkdir(parents=True)
        config = folder / "slurm.conf"
        config.write_text(
            CONFIG.format(user=getpass.getuser(), folder=folder, ports=free_ports(1 + len(NODES)))
        )
        self.environment = {**os.environ, **variables, "SLURM_CONF": str(config)}
        daemons = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in NODES)]
        self._daemons = [
            subprocess.Popen(
                daemon,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for daemon in daemons
        ]
        self.wait_until(lambda: self.ask("sinfo", "--noheader", "--format", "%D %t") == "2 idle")

    def ask(self, *command: str, cwd: Path | None = None) -> str:
        """What a command of Slurm prints; empty while the controller does not answer."""
        result = subprocess.run(
            command, env=self.environment, cwd=cwd, capture_output=True, text=True, check=False
        )
        return result.stdout.strip()

    def state(self, job: str) -> str:
        """Such as PENDING, RUNNING or COMPLETED."""
        words = self.ask("scontrol", "show", "--oneliner", "job", job).split()
        return dict(word.partition("=")[::2] for word in words).get("JobState", "")

    def wait_until(self, condition: Callable[[], bool], within: float = 400) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, self.ask("squeue")
            time.sleep(0.5)

    def remove(self) -> None:
        """End all jobs, then the daemons."""
        self.ask("scancel", "--user", getpass.getuser())
        self.wait_until(lambda: not self.ask("squeue", "--noheader"), within=60)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(timeout=30)
