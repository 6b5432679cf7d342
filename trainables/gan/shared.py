"""What all trials of a GAN's search read: the images, and the judges that measure by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainables.gan.images import Images
from trainables.gan.judge import FINAL_JUDGE, SEARCH_JUDGE, fingerprint, load_judge
from trainables.gan.quality import Evaluator, check_evaluator, check_images, create_evaluator
from trainables.gan.waiting import Heartbeat, Say

Role = Literal["search", "final"]

SEEDS: dict[Role, int] = {"search": SEARCH_JUDGE, "final": FINAL_JUDGE}


@dataclass(frozen=True)
class Shared:
    """The images, with one evaluator for the search's trials and another for the final metrics.

    ``cautions``: sentences on what may mislead a reader of the metrics.
    """

    images: Images
    evaluators: Mapping[Role, Evaluator]
    cautions: tuple[str, ...] = ()

    def about(self) -> dict[str, Any]:
        """What a report needs: sizes and class fractions of the data set, judges, cautions."""
        judges = {
            role: {
                "accuracy": evaluator.accuracy,
                "floor": evaluator.floor,
                "fingerprint": fingerprint(evaluator.judge),
            }
            for role, evaluator in self.evaluators.items()
        }
        images = {
            "train": len(self.images.train),
            "test": len(self.images.test),
            "shares": self.evaluators["search"].shares.tolist(),
        }
        return {"images": images, "judges": judges, "cautions": list(self.cautions)}


def create_shared(
    images: Images, say: Say, judges: Path, before: Mapping[str, Mapping[str, Any]] | None = None
) -> Shared:
    """The images with an evaluator for each role.

    ``judges`` is the run's folder of judges, ``before`` what ``about`` said of them when the run
    began. ``say`` is given every caution, and a line about all that takes long. Raises
    ImagesUnavailable if the run began with other images or judges, or if metrics that are measured
    with these would mean nothing.
    """
    cautions: list[str] = []

    def caution(found: list[str]) -> None:
        cautions.extend(found)
        for sentence in found:
            say(f"caution: {sentence}")

    caution(check_images(images))
    evaluators: dict[Role, Evaluator] = {}
    for role, seed in SEEDS.items():
        began_with = (before or {}).get(role, {}).get("fingerprint")
        judge = load_judge(images, seed, say, judges, began_with)
        with Heartbeat(say, f"judge {seed}: measuring the real images"):
            evaluators[role] = create_evaluator(images, judge)
        caution(check_evaluator(evaluators[role], seed, images))
    return Shared(images, evaluators, tuple(cautions))
