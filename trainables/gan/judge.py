"""The judge: a small convolutional classifier of the data set's own images, whose features and verdicts measure quality.

It is trained once for a data set and a seed, on the training images alone, and kept with a checksum in the user's cache
folder and in every run's own. A search looks at its trials through one judge; the final figures come from a second one, of
another seed, so that no setting can have been chosen for what pleases the judge that is asked at the end.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables.gan.images import NUM_CLASSES, Images, ImagesUnavailable, to_float

FEATURES = 128
SEARCH_JUDGE, FINAL_JUDGE = 1, 2
"""Seeds of the judge that trials are compared by, and of the one that none of them has seen."""

TRAINING_STEPS, TRAINING_EPOCHS = 1_900, 50
"""Whichever ends first. 1,900 steps are four epochs of MNIST, where the accuracy on its test images levels off at 99.4%."""
BATCH = 128
PEAK_LR = 3e-3
MOST_SHIFT = 2
"""Pixels by which training images are moved, so that the judge looks at the shape and not at the place."""
EVALUATION_BATCH = 500

CACHE = Path("ray-tune-optuna-search") / "judges"

RECIPE = "2"
"""Raised with every change of what a judge is or how it is trained: an older one in the cache is then passed over."""


class Judge(nn.Module):
    """Images (B, 28, 28) in [-1, 1] to ``FEATURES`` features (B, 128) and from them to logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, size: int, stride: int) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
            return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

        self.body = nn.Sequential(
            *block(1, 32, 5, 2), *block(32, 64, 3, 2), *block(64, 64, 3, 1),  # (B, 64, 7, 7)
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 7 * 7, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, NUM_CLASSES)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.body(images[:, None].contiguous(memory_format=torch.channels_last))
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


@dataclass(frozen=True)
class Seen:
    """What a judge sees in N images: ``features`` (N, 128) and class ``probabilities`` (N, 10), float32."""

    features: Tensor
    probabilities: Tensor

    @property
    def digits(self) -> Tensor:
        """The class (N,) it takes each image for."""
        return self.probabilities.argmax(1)


@torch.inference_mode()
def look(judge: Judge, images: Tensor) -> Seen:
    """The judge's view of images (N, 28, 28), uint8 or scaled to [-1, 1], on the judge's device."""
    features, probabilities = [], []
    for batch in images.split(EVALUATION_BATCH):
        seen = judge.features(to_float(batch) if batch.dtype == torch.uint8 else batch)
        features.append(seen)
        probabilities.append(judge.head(seen).softmax(1))
    return Seen(torch.cat(features), torch.cat(probabilities))


def load_judge(images: Images, seed: int, say: Callable[[str], None], kept: Path) -> Judge:
    """The judge of this data set and seed: a run's own, in the folder ``kept``, else the user's, which is copied there.

    So a run that goes on, on whatever machine, is judged as it began. A judge that is not in the user's cache, or that is
    damaged there, is trained and put there; ``say`` is told so in a line, and how accurate it then is on the test images.
    Raises ImagesUnavailable where the run began with other images.
    """
    name = f"{images.dataset}-{_digest(images)}-seed{seed}.safetensors"
    judge = _read(kept / name)
    if judge is None:
        if any(file.name != name for file in kept.glob(f"*-seed{seed}.safetensors")):
            raise ImagesUnavailable(
                f"these are not the {images.dataset} images that the run began with: give their --data-root"
            )
        judge = _from_cache(images, seed, cache_folder() / name, say)
        kept.mkdir(parents=True, exist_ok=True)
        _write(judge, kept / name)
    return judge.eval()


def _from_cache(images: Images, seed: int, file: Path, say: Callable[[str], None]) -> Judge:
    judge = _read(file)
    if judge is not None:
        return judge
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            judge = _read(file)  # another search may have trained it while this one waited
            if judge is None:
                judge = _train_and_say(images, seed, say)
                _write(judge, file)
    except (OSError, SafetensorError) as error:
        say(f"the judge cannot be kept for the next search: {error}")
    return judge or _train_and_say(images, seed, say)


def cache_folder() -> Path:
    """Where judges are kept: under XDG_CACHE_HOME, by default ~/.cache, and for a user without a home the temporary folder."""
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / CACHE
    try:
        return Path.home() / ".cache" / CACHE
    except RuntimeError:
        return Path(tempfile.gettempdir()) / CACHE


def accuracy(judge: Judge, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Share of the images that the judge names rightly."""
    device = next(judge.parameters()).device
    digits = look(judge, torch.from_numpy(images).to(device)).digits.cpu()
    return (digits == torch.from_numpy(labels)).float().mean().item()


def train_judge(images: Images, seed: int) -> Judge:
    """Train a judge on the training images: AdamW, one cycle, images shifted by up to ``MOST_SHIFT`` pixels."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = Judge().to(device)
        stream = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)
        steps = min(TRAINING_STEPS, max(100, TRAINING_EPOCHS * len(images.train) // BATCH))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
        x, y = torch.from_numpy(images.train).to(device), torch.from_numpy(images.train_labels).to(device)
        for _ in range(steps):
            chosen = torch.randint(len(x), (BATCH,), generator=stream).to(device)
            down, right = torch.randint(-MOST_SHIFT, MOST_SHIFT + 1, (2,), generator=stream).tolist()
            batch = torch.roll(x[chosen], (down, right), (1, 2))
            loss = cross_entropy(judge(to_float(batch)), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.cpu().eval()


def _train_and_say(images: Images, seed: int, say: Callable[[str], None]) -> Judge:
    say(f"training judge {seed} on the {len(images.train):,} training images of {images.dataset}, once: it is kept")
    judge = train_judge(images, seed)
    say(f"judge {seed} names {accuracy(judge, images.test, images.test_labels):.2%} of the test images rightly")
    return judge


def _read(file: Path) -> Judge | None:
    """The judge in ``file``, or None where there is none or where it is not as it was written."""
    try:
        with safe_open(file, "pt") as content:
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            recorded = (content.metadata() or {}).get("sha256")
        judge = Judge()
        judge.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError):
        return None
    return judge if recorded == _checksum(judge) else None


def _write(judge: Judge, file: Path) -> None:
    new = file.with_suffix(".new")
    save_file({name: tensor.contiguous() for name, tensor in judge.state_dict().items()}, new, {"sha256": _checksum(judge)})
    new.replace(file)


def _checksum(judge: Judge) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(judge.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest(images: Images) -> str:
    """Names the training set and the recipe: other images or another recipe, another judge."""
    digest = hashlib.sha256(RECIPE.encode())
    digest.update(np.ascontiguousarray(images.train).tobytes() + images.train_labels.tobytes())
    return digest.hexdigest()[:16]
