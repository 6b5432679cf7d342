"""One training step of the GAN with the coursework's settings: ours, and a loop over a DataLoader
as tutorials write it.

    python -m benchmarks.gan_step

Both train the same networks on random images, as many and as large as MNIST's. They take turns in
one run, on one thread. Compare their ratio: the times themselves depend on the machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.common import milliseconds
from command_line import read_arguments, run_script
from search_spaces.gan import COURSEWORK, HAND_TUNED
from trainables.gan.images import Images
from trainables.gan.judge import Judge
from trainables.gan.model import SimpleDiscriminator, SimpleGenerator
from trainables.gan.quality import create_evaluator
from trainables.gan.shared import Shared
from trainables.gan.trainable import GANTrial

COUNT = 60_000
STEPS = 20
"""Steps that are timed at once."""


@dataclass(frozen=True)
class Options:
    """Time one training step of the GAN."""

    rounds: int = 15
    """How many times each step is timed. The table has the medians."""


def random_images(train: int, test: int) -> Images:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (train, 28, 28), dtype=np.uint8)
    labels = np.arange(train) % 10
    return Images("mnist", images, labels, images[:test], labels[:test])


class OneByOne(Dataset[Tensor]):
    """What torchvision's MNIST does for every image: array to PIL image to normalised tensor."""

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
    evaluator = create_evaluator(random_images(200, 100), Judge().eval())
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
    options = read_arguments(Options)
    torch.set_num_threads(1)
    images = random_images(COUNT, 100)
    steps = {"ours": ours(images), "DataLoader loop": data_loader_loop(images)}
    times = milliseconds(steps, options.rounds, STEPS)
    table = Table("one step, batch 64, 1 thread", "ms, median", "times ours")
    for name, ms in times.items():
        table.add_row(name, f"{ms:.1f}", f"{ms / times['ours']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run_script(main)
