"""Where a trial trains: the GPU that Ray gave its process, or the CPU."""

import os
import platform

import ray
import torch


def assigned_device() -> torch.device:
    """The GPU that Ray gave this process, or the CPU with one thread for each core it was given.

    Raises RuntimeError if Ray gave it a GPU that torch cannot use: the CPU would take far longer,
    and nobody would know why.

    In a Ray worker, numbers below 1e-38 count as zero. A recurrent network whose gates saturate
    has many of them, and a CPU takes ten times as long for each.
    """
    if not ray.is_initialized():
        return torch.device("cpu")
    torch.set_flush_denormal(True)
    resources = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(resources.get("CPU", 1))))
    gpus = resources.get("GPU", 0.0)
    if not gpus:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"Ray gave this trial {gpus:g} GPU on {platform.node()}, but torch {torch.__version__}"
            " cannot use it: install a torch that fits the node's GPU driver, or search with"
            " --gpus-per-trial 0"
        )
    # Without it cuDNN's recurrent kernels may round differently each time they run:
    # https://docs.pytorch.org/docs/stable/cudnn_rnn_determinism.html
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
    if gpus < 1:  # Ray does not bound the memory of a trial that has a fraction of a GPU
        torch.cuda.set_per_process_memory_fraction(gpus)
    return torch.device("cuda")
