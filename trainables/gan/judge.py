"""The judge: a small convolutional classifier of the data set, which measures made images.

It is trained once for each data set and seed, on the training images only. The user's cache folder
and every run's own folder keep it, with a checksum of its weights and of its name. One judge
measures the trials of a search. A second judge of another seed gives the metrics of the fresh seeds
and of the final training: no trial of the search was compared by it.
"""

import contextlib
import hashlib
import json
import os
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

from command_line import user_cache
from trainables.gan.idx import NUM_CLASSES
from trainables.gan.images import Images, ImagesUnavailable, silent, to_float, write_whole
from trainables.gan.waiting import Heartbeat, Say, held

FEATURES = 128
SEARCH_JUDGE, FINAL_JUDGE = 1, 2
"""Seeds of the judge that compares trials, and of the one that no trial of the search has asked."""

TRAINING_STEPS, TRAINING_EPOCHS = 1_900, 20
"""Training ends at the smaller of the two, but not before step 100. 1,900 steps are four epochs of
MNIST, after which the accuracy on its test images stays at 99.4%. On digits, 20 epochs are enough
(docs/decisions/gan-quality.md)."""
BATCH = 128
PEAK_LR = 3e-3
MOST_SHIFT = 2
"""Pixels by which training images are moved, so that the judge ignores where a shape is."""
EVALUATION_BATCH = 500


RECIPE = "4"
"""Raised with every change of a judge or its training: older files in the cache are ignored."""

METADATA = "judge"
"""Entry of a judge's file: a JSON list of its name, its recipe, and a checksum of both and of the
weights."""


class Judge(nn.Module):
    """Images (B, 28, 28) in [-1, 1] to features (B, 128), and from them to logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, size: int, stride: int) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
            return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

        self.body = nn.Sequential(
            *block(1, 32, 5, 2), *block(32, 64, 3, 2), *block(64, 64, 3, 1),  # (B, 64, 7, 7)
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 7 * 7, FEATURES), nn.ReLU(),  # (B, 128)
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, NUM_CLASSES)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        x = images[:, None].contiguous(memory_format=torch.channels_last)  # (B, 1, 28, 28)
        features: Tensor = self.body(x)  # (B, 128)
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))  # (B, 10)
        return logits


@dataclass(frozen=True)
class JudgeOutput:
    """What a judge sees in N images: ``features`` (N, 128), class ``probabilities`` (N, 10)."""

    features: Tensor
    probabilities: Tensor

    @property
    def digits(self) -> Tensor:
        """The most probable class (N,) of each image."""
        return self.probabilities.argmax(1)


@torch.inference_mode()
def classify(judge: Judge, images: Tensor) -> JudgeOutput:
    """What the judge sees in images (N, 28, 28), uint8 or in [-1, 1], on the judge's device."""
    features = [
        judge.features(to_float(batch) if batch.dtype == torch.uint8 else batch)
        for batch in images.split(EVALUATION_BATCH)
    ]
    probabilities = [judge.head(seen).softmax(1) for seen in features]
    return JudgeOutput(torch.cat(features), torch.cat(probabilities))


def load_judge(
    images: Images, seed: int, say: Say, kept: Path, began_with: str | None = None
) -> Judge:
    """The judge of this data set and seed: from a run's folder ``kept``, else from the cache.

    A judge from the cache, trained first if it is missing there, is copied to ``kept``: a run that
    is resumed on another machine keeps its judge. ``say`` is given a line about all that takes long
    and about every file that is replaced. ``began_with`` is the fingerprint of the judge that has
    measured the run so far. Raises ImagesUnavailable if the run began with other images, if its
    judge is lost, or if ``kept`` cannot be written.
    """
    name = f"{images.dataset}-{_digest(images)}-seed{seed}"
    file = kept / f"{name}.safetensors"
    judge = _read(file, name, say)
    if judge is not None:
        if began_with in (None, fingerprint(judge)):
            return judge.eval()
        say(f"{file} is not used (the run did not begin with it): it is replaced")
    if any(other != file for other in kept.glob(f"*-seed{seed}.safetensors")):
        raise ImagesUnavailable(
            f"these are not the {images.dataset} images that the run began with, or an older"
            f" version of this program began it ({kept}): give the --data-root of its images, or"
            " start a new search"
        )
    judge = _from_cache(images, seed, name, say)
    if began_with not in (None, fingerprint(judge)):
        raise ImagesUnavailable(
            f"judge {seed} of this machine is not the one that the run began with, and metrics of"
            f" two judges cannot be compared: put {file} back from a copy, or start a new search"
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
    """The judge in the user's cache; a missing judge is trained, and kept there if possible."""
    file = cache_folder() / f"recipe{RECIPE}-{name}.safetensors"
    judge = _read(file, name, silent, RECIPE)
    if judge is not None:
        return judge
    with contextlib.ExitStack() as lock:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.enter_context(held(file.with_suffix(".lock"), say, f"training judge {seed}"))
        except OSError as error:
            _say_not_kept(file, error, say)
            return _train_and_say(images, seed, say)
        judge = _read(file, name, say, RECIPE)  # another search may have trained it meanwhile
        if judge is None:
            judge = _train_and_say(images, seed, say)
            try:
                _write(judge, name, file)
            except OSError as error:
                _say_not_kept(file, error, say)
    return judge


def _say_not_kept(file: Path, error: OSError, say: Say) -> None:
    where, why = file.parent, error.strerror
    say(f"the judge cannot be kept in {where} ({why}): the next search trains it again")


def cache_folder() -> Path:
    """The folder of judges in the user's cache."""
    return user_cache() / "judges"


def accuracy(judge: Judge, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Fraction of the images that the judge recognises."""
    device = next(judge.parameters()).device
    digits = classify(judge, torch.from_numpy(images).to(device)).digits.cpu()
    return (digits == torch.from_numpy(labels)).float().mean().item()


def train_judge(images: Images, seed: int, say: Say = silent) -> Judge:
    """Train a judge on the training images with AdamW, a one-cycle rate and shifted images.

    ``say`` is given a line now and then about how far it is.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = min(TRAINING_STEPS, max(100, TRAINING_EPOCHS * len(images.train) // BATCH))
    progress = Heartbeat(say, f"judge {seed}: step", steps)
    with torch.random.fork_rng(), one_thread(), progress:
        torch.manual_seed(seed)
        judge = Judge().to(device)
        stream = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
        x = torch.from_numpy(images.train).to(device)  # (N, 28, 28)
        y = torch.from_numpy(images.train_labels).to(device)  # (N,)
        for progress.done in range(1, steps + 1):
            chosen = torch.randint(len(x), (BATCH,), generator=stream).to(device)
            shift = torch.randint(-MOST_SHIFT, MOST_SHIFT + 1, (2,), generator=stream).tolist()
            batch = torch.roll(x[chosen], shift, (1, 2))
            loss = cross_entropy(judge(to_float(batch)), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.cpu().eval()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in this context.

    A step is too small for two threads. On an idle machine of 2 cores they take 25 ms and one
    thread 43 ms; next to a busy process they take more than 800 ms and one thread 39 ms. One thread
    also trains the same judge on any number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_and_say(images: Images, seed: int, say: Say) -> Judge:
    count = f"{len(images.train):,}"
    say(f"training judge {seed} on the {count} training images of {images.dataset}, once")
    judge = train_judge(images, seed, say)
    recognised = accuracy(judge, images.test, images.test_labels)
    say(f"judge {seed} recognises {recognised:.2%} of the test images")
    return judge


def _read(file: Path, name: str, say: Say, recipe: str | None = None) -> Judge | None:
    """The judge in ``file``; None if there is no file, or if ``say`` is told why it is not used."""
    if not os.path.lexists(file):
        return None
    try:
        if not file.is_file():  # a pipe would block
            raise OSError
        with safe_open(file, "pt") as content:
            weights = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
            name_written, recipe_written, checksum = json.loads(content.metadata()[METADATA])
        judge = Judge()
        judge.load_state_dict(weights)
    except Exception:  # a damaged file can raise anything
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
    """SHA-256 of the judge's weights: judges with the same fingerprint measure the same."""
    digest = hashlib.sha256()
    for name, tensor in sorted(judge.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest(images: Images) -> str:
    """Part of a judge's name: a digest of its training images and labels."""
    content = np.ascontiguousarray(images.train).tobytes() + images.train_labels.tobytes()
    return hashlib.sha256(content).hexdigest()[:16]
