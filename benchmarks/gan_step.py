"""One training step of the GAN on the coursework's settings: ours, beside a loop over a DataLoader
as tutorials write it.

Both train the same networks on the same number of images, MNIST's count and size drawn at random.
They are timed in turns within one run, on one thread, and given as a ratio: the times themselves
are the machine's. python benchmarks/gan_step.py
"""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from command_line import run_script
from search_spaces.gan import COURSEWORK, HAND_TUNED
from trainables.gan.images import Images
from trainables.gan.judge import Judge
from trainables.gan.model import SimpleDiscriminator, SimpleGenerator
from trainables.gan.quality import create_evaluator
from trainables.gan.shared import Shared
from trainables.gan.trainable import GANTrial

COUNT = 60_000
ROUNDS, STEPS = 15, 20


def random_images() -> Images:
    draw = np.random.default_rng(0)
    train = draw.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    labels = np.arange(COUNT) % 10
    return Images("mnist", train, labels, train[:100], labels[:100])


class OneByOne(Dataset[Tensor]):
    """What torchvision's MNIST does for every image: an array to a PIL image, to a tensor, normalised."""

    def __init__(self, images: Images) -> None:
        self.images = images.train
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> Tensor:
        image: Tensor = self.transform(Image.fromarray(self.images[place], mode="L"))
        return image


def ours(images: Images) -> Callable[[], None]:
    evaluator = create_evaluator(
        Images(
            "mnist", images.train[:200], images.train_labels[:200], images.test, images.test_labels
        ),
        Judge().eval(),
    )
    GANTrial.shared = Shared(images, {"search": evaluator, "final": evaluator})
    trial = GANTrial({**HAND_TUNED, **COURSEWORK, "judge": "search", "max_steps": 10**6, "seed": 0})

    def step() -> None:
        trial.step_number += 1
        trial.advance()
        trial.files.clear()

    return step


def data_loader_loop(images: Images) -> Callable[[], None]:
    generator, discriminator = SimpleGenerator(), SimpleDiscriminator()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4)
    criterion = nn.BCELoss()
    loader = DataLoader(OneByOne(images), batch_size=64, shuffle=True)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from loader

    endless = batches()

    def step() -> None:
        real = next(endless)
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        made = generator(torch.randn(len(real), 100))
        g_optimizer.zero_grad()
        criterion(discriminator(made), ones).backward()
        g_optimizer.step()
        d_optimizer.zero_grad()
        loss = criterion(discriminator(made.detach()), zeros) + criterion(discriminator(real), ones)
        loss.backward()
        d_optimizer.step()

    return step


def main() -> None:
    torch.set_num_threads(1)
    images = random_images()
    contenders = {"ours": ours(images), "DataLoader loop": data_loader_loop(images)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for step in contenders.values():
        step()
    for _ in range(ROUNDS):
        for name, step in contenders.items():
            started = time.perf_counter()
            for _ in range(STEPS):
                step()
            times[name].append((time.perf_counter() - started) / STEPS * 1000)
    table = Table("one step, batch 64, 1 thread", "ms, median", "times ours")
    base = statistics.median(times["ours"])
    for name, values in times.items():
        middle = statistics.median(values)
        table.add_row(name, f"{middle:.1f}", f"{middle / base:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run_script(main)
