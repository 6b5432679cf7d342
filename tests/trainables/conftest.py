"""What tests of several trainables share: the memory that a training needs."""

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
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
def peak(config):
    gc.collect()  # of the training before
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    train(config)
    return status("VmHWM") - before
tiny, configs = json.load(sys.stdin)
peak(tiny)
print(json.dumps([peak(config) for config in configs]))
"""


def peaks(train: str, tiny: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Peak memory of ``train(config)``, in bytes above a process that has trained ``tiny``."""
    root = Path(__file__).parent.parent.parent
    # With this threshold, freed memory goes back to the system
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", train + MEASURE]
    text = json.dumps([tiny, configs])
    result = subprocess.run(
        command, input=text, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found: list[float] = json.loads(result.stdout)
    return found
