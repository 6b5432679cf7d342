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

from command_line import UsageError, run_script, user_path
from tuning.options import MAX_STEPS, SearchOptions
from tuning.script import search_script

if TYPE_CHECKING:
    from tuning.task import Prepared, Task

Figure = Literal["fd", "clean", "coverage"]

REPORTS = 9
"""Reports of a trial: the rungs, a third of one another, then fall on the first and the third."""


@dataclass(frozen=True, kw_only=True)
class GANOptions(SearchOptions):
    """Search the settings with which the coursework's GAN draws clean digits."""

    experiment: ClassVar[str] = "gan"
    changeable: ClassVar[tuple[str, ...]] = ("data_root", "final_steps")

    num_samples: int = 30
    """Number of trials, including the hand-tuned settings that every search tries first."""
    dataset: Literal["mnist", "fashion-mnist", "kmnist", "digits"] = "mnist"
    """Images to learn from. The first three are downloaded if they are not under --data-root.
    digits comes with scikit-learn and needs no network."""
    data_root: str = "data"
    """Folder of the data sets, in torchvision's layout: MNIST/raw, FashionMNIST/raw, KMNIST/raw."""
    space: Literal["core", "extended"] = "extended"
    """core: search what the coursework could have tuned (learning rates, betas, batch size, latent
    size). extended: search also losses, penalties, weight averaging, regularisers, schedules and
    latents."""
    max_steps: int | None = None
    """Maximum number of training steps (batches) of a trial. Default: 9,400; 1,000 on digits."""
    objectives: tuple[Figure, ...] = ("fd",)
    """Metrics to optimize: the Fréchet distance, the fraction of clean images, the coverage of the
    ten classes. Early stopping uses the first; several give their Pareto front."""
    final_steps: int | None = None
    """Additional training steps for the winner before it is exported; 0: none. Default: as many as --max-steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read_as("data_root", user_path("--data-root", self.data_root))
        if self.max_steps is not None and not 1 <= self.max_steps <= MAX_STEPS:
            raise UsageError(f"--max-steps must be 1 to {MAX_STEPS:,}, got {self.max_steps}")
        if self.final_steps is not None and not 0 <= self.final_steps <= MAX_STEPS:
            raise UsageError(f"--final-steps must be 0 to {MAX_STEPS:,}, got {self.final_steps}")
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise UsageError(
                f"--objectives takes one figure or several, each once, got {' '.join(self.objectives) or 'none'}"
            )
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise UsageError(
                "--sampler cmaes optimizes one figure only: name one of --objectives, or another sampler"
            )


def gan_task(options: GANOptions) -> "Task":
    """What the options ask to be searched."""
    from records.objective import Goal, Objective
    from search_spaces.gan import SPACES, STEPS
    from trainables.gan.demand import demand
    from trainables.gan.trainable import GANTrial
    from tuning.task import Rungs, Task

    max_steps = options.max_steps or STEPS[options.dataset]
    report_every = math.ceil(max_steps / REPORTS)
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
        final_steps=(0 if options.train else max_steps)
        if options.final_steps is None
        else options.final_steps,
        checkpoint_every=1,
        prepare=preparation(options),
        demand=demand,
    )


def preparation(options: GANOptions) -> "Callable[[Callable[[str], None], Path], Prepared]":
    """Reads the images and makes the judges ready, in the one moment of a search at which that can still be refused."""

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
