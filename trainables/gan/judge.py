"""The judge: a small convolutional classifier of the data set's own images, whose features and
verdicts measure quality.

It is trained once for a data set and a seed, on the training images alone, and kept in the user's
cache folder and in every run's own, with a checksum over its weights and over what it is the judge
of. A search looks at its trials through one judge; the final figures come from a second one, of
another seed, so that no setting can have been chosen for what pleases the judge that is asked at
the end.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables.gan.idx import NUM_CLASSES
from trainables.gan.images import Images, ImagesUnavailable, silent, to_float, write_whole
from trainables.gan.waiting import Heartbeat, Say, held

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

RECIPE = "3"
"""Raised with every change of what a judge is or how it is trained: an older one in the cache is then passed over."""

METADATA = "judge"
"""The entry of a judge's file that holds its name, its recipe and a checksum of both and of the weights, as a JSON list."""


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
class JudgeOutput:
    """What a judge sees in N images: ``features`` (N, 128) and class ``probabilities`` (N, 10), float32."""

    features: Tensor
    probabilities: Tensor

    @property
    def digits(self) -> Tensor:
        """The class (N,) it takes each image for."""
        return self.probabilities.argmax(1)


@torch.inference_mode()
def classify(judge: Judge, images: Tensor) -> JudgeOutput:
    """The judge's view of images (N, 28, 28), uint8 or scaled to [-1, 1], on the judge's device."""
    features, probabilities = [], []
    for batch in images.split(EVALUATION_BATCH):
        seen = judge.features(to_float(batch) if batch.dtype == torch.uint8 else batch)
        features.append(seen)
        probabilities.append(judge.head(seen).softmax(1))
    return JudgeOutput(torch.cat(features), torch.cat(probabilities))


def load_judge(
    images: Images, seed: int, say: Say, kept: Path, began_with: str | None = None
) -> Judge:
    """The judge of this data set and seed: a run's own, in the folder ``kept``, else the user's,
    which is copied there.

    So a run that goes on, on whatever machine, is judged as it began. A judge that is not in the
    user's cache is trained and put there. ``say`` is given a line about all that takes long and
    about every file that is passed over because it is damaged or another judge. ``began_with`` is
    the fingerprint of the judge by which the run has measured so far. Raises ImagesUnavailable if
    the run began with other images or cannot have that judge again, or if ``kept`` cannot be
    written.
    """
    name = f"{images.dataset}-{_digest(images)}-seed{seed}"
    file = kept / f"{name}.safetensors"
    judge = _read(file, name, say)
    if judge is not None and began_with not in (None, fingerprint(judge)):
        say(f"{file} is not used (the run did not begin with it): it is replaced")
        judge = None
    if judge is None:
        if any(other != file for other in kept.glob(f"*-seed{seed}.safetensors")):
            raise ImagesUnavailable(
                f"these are not the {images.dataset} images that the run began with, or an older version of this program"
                f" began it ({kept}): give their --data-root, or start a new search"
            )
        judge = _from_cache(images, seed, name, say)
        if began_with not in (None, fingerprint(judge)):
            raise ImagesUnavailable(
                f"judge {seed} of this machine is not the one that the run began with, so figures would not compare: put"
                f" {file} back from a copy, or start a new search"
            )
        try:
            kept.mkdir(parents=True, exist_ok=True)
            _write(judge, name, file)
        except OSError as error:
            raise ImagesUnavailable(
                f"the judge cannot be written to {file} ({error.strerror}): make room there"
            ) from None
    return judge.eval()


def _from_cache(images: Images, seed: int, name: str, say: Say) -> Judge:
    """The user's judge; trained if it is not there, kept if it can be."""
    file = cache_folder() / f"recipe{RECIPE}-{name}.safetensors"
    judge = _read(file, name, silent, RECIPE)
    if judge is not None:
        return judge
    with contextlib.ExitStack() as lock:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.enter_context(held(file.with_suffix(".lock"), say, f"training judge {seed}"))
        except (
            OSError,
            NotImplementedError,
        ) as error:  # the latter from a file system that has no locks
            _say_not_kept(file, error, say)
            return _train_and_say(images, seed, say)
        judge = _read(
            file, name, say, RECIPE
        )  # another search may have trained it while this one waited
        if judge is None:
            judge = _train_and_say(images, seed, say)
            try:
                _write(judge, name, file)
            except OSError as error:
                _say_not_kept(file, error, say)
    return judge


def _say_not_kept(file: Path, error: Exception, say: Say) -> None:
    reason = error.strerror if isinstance(error, OSError) else "no locks on this file system"
    say(
        f"the judge cannot be kept in {file.parent} ({reason}): the next search will train it again"
    )


def cache_folder() -> Path:
    """Where judges are kept: under XDG_CACHE_HOME, by default ~/.cache, and for a user without a home the temporary folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if (
        cache.is_absolute()
    ):  # others are to be ignored: https://specifications.freedesktop.org/basedir-spec
        return cache / CACHE
    try:
        return Path.home() / ".cache" / CACHE
    except RuntimeError:
        return Path(tempfile.gettempdir()) / CACHE


def accuracy(judge: Judge, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Share of the images that the judge names rightly."""
    device = next(judge.parameters()).device
    digits = classify(judge, torch.from_numpy(images).to(device)).digits.cpu()
    return (digits == torch.from_numpy(labels)).float().mean().item()


def train_judge(images: Images, seed: int, say: Say = silent) -> Judge:
    """Train a judge on the training images: AdamW, one cycle, images shifted by up to
    ``MOST_SHIFT`` pixels.

    ``say`` is given a line now and then about how far it is.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = min(TRAINING_STEPS, max(100, TRAINING_EPOCHS * len(images.train) // BATCH))
    with (
        torch.random.fork_rng(),
        one_thread(),
        Heartbeat(say, f"judge {seed}: step", steps) as beat,
    ):
        torch.manual_seed(seed)
        judge = Judge().to(device)
        stream = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
        x, y = (
            torch.from_numpy(images.train).to(device),
            torch.from_numpy(images.train_labels).to(device),
        )
        for beat.done in range(1, steps + 1):
            chosen = torch.randint(len(x), (BATCH,), generator=stream).to(device)
            down, right = torch.randint(
                -MOST_SHIFT, MOST_SHIFT + 1, (2,), generator=stream
            ).tolist()
            batch = torch.roll(x[chosen], (down, right), (1, 2))
            loss = cross_entropy(judge(to_float(batch)), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.cpu().eval()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in here.

    A step is too small to be shared out: alone, 2 threads take 25 ms and one 43 ms, but beside one
    busy process on 2 cores 2 threads take more than 800 ms and one 39 ms. And one thread trains the
    same judge on any number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_and_say(images: Images, seed: int, say: Say) -> Judge:
    say(
        f"training judge {seed} on the {len(images.train):,} training images of {images.dataset}, once: it is kept"
    )
    judge = train_judge(images, seed, say)
    say(
        f"judge {seed} names {accuracy(judge, images.test, images.test_labels):.2%} of the test images rightly"
    )
    return judge


def _read(file: Path, name: str, say: Say, recipe: str | None = None) -> Judge | None:
    """The judge in ``file``. None if there is no file, or if it is not this judge as it was written, which ``say`` is told."""
    if not os.path.lexists(file):
        return None
    try:
        if not file.is_file():  # a pipe, say, would be waited for
            raise OSError
        with safe_open(file, "pt") as content:
            weights = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
            name_written, recipe_written, checksum = json.loads(content.metadata()[METADATA])
        judge = Judge()
        judge.load_state_dict(weights)
    except Exception:  # a torn or foreign file raises whatever its first wrong byte happens to mean
        fault = "it cannot be read, or is damaged"
    else:
        if checksum != _checksum(judge, name_written, recipe_written):
            fault = "it is damaged"
        elif name_written != name or recipe not in (None, recipe_written):
            fault = f"it is judge {name_written} of recipe {recipe_written}"
        else:
            return judge
    say(f"{file} is not used ({fault}): it is replaced")
    return None


def _write(judge: Judge, name: str, file: Path) -> None:
    weights = {key: tensor.contiguous() for key, tensor in judge.state_dict().items()}
    about = json.dumps([name, RECIPE, _checksum(judge, name, RECIPE)])
    write_whole(file, save(weights, {METADATA: about}))


def _checksum(judge: Judge, name: str, recipe: str) -> str:
    return hashlib.sha256(f"{name}\n{recipe}\n{fingerprint(judge)}".encode()).hexdigest()


def fingerprint(judge: Judge) -> str:
    """SHA-256 of the judge's weights: two judges of one fingerprint measure the same."""
    digest = hashlib.sha256()
    for name, tensor in sorted(judge.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest(images: Images) -> str:
    """Names the training set: other images, another judge."""
    digest = hashlib.sha256(
        np.ascontiguousarray(images.train).tobytes() + images.train_labels.tobytes()
    )
    return digest.hexdigest()[:16]
