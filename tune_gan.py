"""Search for the settings with which the coursework's GAN draws clean digits.

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

from command_line import UsageError, run_script
from tuning.options import MAX_STEPS, SearchOptions, check_objectives
from tuning.script import search_script

if TYPE_CHECKING:
    from tuning.task import Prepared, Task

Metric = Literal["fd", "clean", "coverage"]

REPORTS = 9
"""Reports of a trial, so that the rungs, at a ninth and a third of the budget, fall on reports."""


@dataclass(frozen=True, kw_only=True)
class GANOptions(SearchOptions):
    """Search for the settings with which the coursework's GAN draws clean digits."""

    experiment: ClassVar[str] = "gan"
    changeable: ClassVar[tuple[str, ...]] = ("data_root", "final_steps")
    paths: ClassVar[tuple[str, ...]] = (*SearchOptions.paths, "data_root")

    num_samples: int = 30
    """Number of trials, including the baselines, known settings that are tried first."""
    dataset: Literal["mnist", "fashion-mnist", "kmnist", "digits"] = "mnist"
    """Images to learn from. The first three are downloaded if they are not under --data-root.
    The data set digits comes with scikit-learn and needs no network."""
    data_root: str = "data"
    """Folder of the data sets, in torchvision's layout: MNIST/raw, FashionMNIST/raw, KMNIST/raw."""
    space: Literal["core", "extended"] = "extended"
    """core: what the coursework could have tuned, learning rates, betas, batch and latent size.
    extended: also losses, penalties, weight averaging, regularisers, schedules and latents."""
    max_steps: int | None = None
    """Maximum number of training steps (batches) of a trial. Default: 9,400; 1,000 on digits."""
    objectives: tuple[Metric, ...] = ("fd",)
    """Metrics to optimize: Fréchet distance, fraction of clean images, coverage of the ten classes.
    Early stopping uses the first; several give their Pareto front."""
    final_steps: int | None = None
    """Additional training steps for the winner before it is exported; 0: none.
    Default: as many as --max-steps; with --train, 0."""

    finalists: int = 2
    """Number of trials, the best that are no baselines, that are trained on fresh seeds.
    The best baseline is trained there, too, for comparison."""
    target: float | None = None
    """End the search as soon as one configuration reaches this fd_ratio on every fresh seed.
    It is the Fréchet distance, divided by that of real images: the smaller, the better.
    Default: the search goes on, and its goal is 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_range("max_steps", 1, MAX_STEPS)
        self.check_range("final_steps", 0, MAX_STEPS)
        if not self.objectives:
            raise UsageError("--objectives takes one metric or several, got none")
        check_objectives(self.objectives, self.sampler)


def gan_task(options: GANOptions) -> "Task":
    """The search that the options ask for."""
    from records.objective import Goal, Objective
    from search_spaces.gan import SPACES, STEPS
    from trainables.gan.demand import demand
    from trainables.gan.trainable import GANTrial
    from tuning.task import Rungs, Task

    max_steps = options.max_steps or STEPS[options.dataset]
    report_every = math.ceil(max_steps / REPORTS)
    final_steps = options.final_steps
    if final_steps is None:
        final_steps = 0 if options.train else max_steps
    return Task(
        trainable=GANTrial,
        space=options.searched(SPACES[options.space]),
        settings={
            "dataset": options.dataset,
            "max_steps": max_steps,
            "report_every": report_every,
            "judge": "search",
        },
        objectives=tuple(
            Objective(name, "min" if name == "fd" else "max") for name in options.objectives
        ),
        console_metrics=tuple(
            dict.fromkeys((*options.objectives, "fd_ratio", "clean", "coverage"))
        ),
        rungs=Rungs(grace_steps=report_every, reduction_factor=3),
        goal=Goal("fd_ratio", "most", 2.0 if options.target is None else options.target),
        confirming={"judge": "final"},
        final_steps=final_steps,
        checkpoint_every=1,
        prepare=preparation(options),
        over_seeds="mean",
        demand=demand,
    )


def preparation(options: GANOptions) -> "Callable[[Callable[[str], None], Path], Prepared]":
    """The function that reads the images and prepares the judges before Ray starts, while the
    search can still be refused.
    """

    def prepare(say: Callable[[str], None], run: Path) -> "Prepared":
        from records.run_directory import RunDirectory
        from trainables.gan.images import ImagesUnavailable, load_images
        from trainables.gan.shared import create_shared
        from tuning.task import Prepared

        try:
            images = load_images(options.dataset, options.data_root, say)
            before = (RunDirectory(run).read() or {}).get("judges")
            shared = create_shared(images, say, run / "judges", before)
        except ImagesUnavailable as error:
            raise UsageError(str(error)) from None
        return Prepared(shared, shared.about())

    return prepare


main = search_script(GANOptions, gan_task)

if __name__ == "__main__":
    run_script(main)
