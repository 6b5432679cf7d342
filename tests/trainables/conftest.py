"""What tests of several trainables share: how much memory a training takes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MEASURE = """
import gc, json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
def status(name):
    line, = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
def peak(config):
    gc.collect()  # what trained before
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    train(config)
    return status("VmHWM") - before
tiny, configs = json.load(sys.stdin)
peak(tiny)
print(json.dumps([peak(config) for config in configs]))
"""


def peaks(train: str, tiny: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> list[float]:
    """The most memory, in bytes, that ``train(config)`` takes beyond what a process has that has trained ``tiny`` before."""
    root = Path(__file__).parent.parent.parent
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "65536",
    }  # what is freed goes back to the system
    command = [sys.executable, "-c", train + MEASURE]
    text = json.dumps([tiny, configs])
    result = subprocess.run(
        command, input=text, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found: list[float] = json.loads(result.stdout)
    return found
