"""Search the settings with which the coursework's GAN draws clean digits.

python tune_gan.py --num-samples 30 --gpus-per-trial 0.5
"""

from tuning.interruption import early_exit

if __name__ == "__main__":
    early_exit.install()  # before the imports below, which take a while

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from command_line import BadOptions, run_script, user_path
from tuning.options import MAX_STEPS, SearchOptions, parse
from tuning.trouble import guarded

if TYPE_CHECKING:
    from tuning.experiment import Experiment, Prepared

Figure = Literal["fd", "clean", "coverage"]

REPORTS = 9
"""Reports of a trial: the rungs, a third of one another, then fall on the first and the third."""


@dataclass(frozen=True, kw_only=True)
class GANOptions(SearchOptions):
    """Search the settings with which the coursework's GAN draws clean digits."""

    experiment: ClassVar[str] = "gan"
    changeable: ClassVar[tuple[str, ...]] = ("data_root", "final_steps")

    num_samples: int = 30
    """Trials to run, the settings known beforehand among them."""
    dataset: Literal["mnist", "fashion-mnist", "kmnist", "digits"] = "mnist"
    """Images to learn from. The first three are fetched where they are not under --data-root; digits comes with
    scikit-learn and needs no network."""
    data_root: str = "data"
    """Folder of the data sets, laid out as torchvision does: MNIST/raw, FashionMNIST/raw, KMNIST/raw."""
    space: Literal["core", "extended"] = "extended"
    """What is varied: what the coursework could have tuned (rates, betas, batch, latent size), or also what the field has
    learned since (losses, penalties, averaging, regularisers, schedules, latents)."""
    max_steps: int | None = None
    """Training steps (batches) of a trial at most. Default: 9,400, on digits 1,000."""
    objectives: tuple[Figure, ...] = ("fd",)
    """What is optimized, the first before all: the Fréchet distance, the share of clean images, the coverage of the ten
    classes. Several give their Pareto front."""
    final_steps: int | None = None
    """Steps for which the winner is trained on before it is exported; 0: none. Default: as many as --max-steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read_as("data_root", user_path("--data-root", self.data_root))
        if self.max_steps is not None and not 1 <= self.max_steps <= MAX_STEPS:
            raise BadOptions(f"--max-steps must be 1 to {MAX_STEPS:,}, got {self.max_steps}")
        if self.final_steps is not None and not 0 <= self.final_steps <= MAX_STEPS:
            raise BadOptions(f"--final-steps must be 0 to {MAX_STEPS:,}, got {self.final_steps}")
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise BadOptions(f"--objectives takes one figure or several, each once, got {' '.join(self.objectives) or 'none'}")
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise BadOptions("--sampler cmaes optimizes one figure only: name one of --objectives, or another sampler")


def gan_experiment(options: GANOptions) -> "Experiment":
    """What the options ask to be searched."""
    from search_spaces.gan import SPACES, STEPS
    from trainables.gan.demand import demand
    from trainables.gan.trainable import GANTrial
    from tuning.experiment import Experiment, Goal, Objective, Rungs

    max_steps = options.max_steps or STEPS[options.dataset]
    report_every = math.ceil(max_steps / REPORTS)
    return Experiment(
        trainable=GANTrial,
        space=options.searched(SPACES[options.space]),
        settings={
            "dataset": options.dataset,
            "max_steps": max_steps,
            "report_every": report_every,
            "judge": "search",
        },
        objectives=tuple(Objective(name, "min" if name == "fd" else "max") for name in options.objectives),
        shown=tuple(dict.fromkeys((*options.objectives, "fd_ratio", "clean", "coverage"))),
        rungs=Rungs(grace_steps=report_every, reduction_factor=3),
        goal=Goal("fd_ratio", "most", 2.0 if options.target is None else options.target),
        confirming={"judge": "final"},
        final_steps=max_steps if options.final_steps is None else options.final_steps,
        checkpoint_every=1,
        prepare=preparation(options),
        demand=demand,
    )


def preparation(options: GANOptions) -> "Callable[[Callable[[str], None], Path], Prepared]":
    """Reads the images and makes the judges ready, in the one moment of a search at which that can still be refused."""

    def prepare(say: Callable[[str], None], run: Path) -> "Prepared":
        from trainables.gan.images import ImagesUnavailable, load_images
        from trainables.gan.trainable import create_shared
        from tuning.experiment import Prepared
        from tuning.run_directory import RunDirectory

        try:
            images = load_images(options.dataset, options.data_root, say)
            before = (RunDirectory(run).read() or {}).get("judges")
            shared = create_shared(images, say, run / "judges", before)
        except ImagesUnavailable as error:
            raise BadOptions(str(error)) from None
        return Prepared(shared, shared.about())

    return prepare


@guarded
def main() -> int:
    options = parse(GANOptions)
    from tuning.search import Search

    return Search(options, gan_experiment(options)).run()


if __name__ == "__main__":
    run_script(main)
