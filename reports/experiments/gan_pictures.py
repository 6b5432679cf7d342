"""The pictures of a GAN run's page: what is drawn from which files of the run."""

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from records.checks.check import counted
from records.run import Run
from reports.content import Picture, save, scales
from reports.experiments import default
from reports.experiments import gan_figures as figures
from reports.experiments.gan_figures import Gray, Samples
from reports.figures.printed import Curve

HAND_TUNED = "hand-tuned, defaults"
"""The baseline that the winner is compared with."""

LATENT_SEED = 0
INTERPOLATED_ROWS = 6
STEPS_BETWEEN = 9
"""n of the coursework's interpolation."""
WALK_STOPS, WALK_FRAMES = 5, 10
TRAINING_FRAMES = 40
FRAME_MS = 160


def hand_tuned_trial(run: Run) -> "pd.Series[Any] | None":
    trials = run.trials[run.trials["baseline"] == HAND_TUNED]
    return None if trials.empty else trials.iloc[0]


def winning_trial(run: Run) -> "pd.Series[Any] | None":
    return None if run.best is None else run.trials[run.trials["number"] == run.best].iloc[0]


class Drawing:
    """Draws the pictures of ``run`` into ``folder``: each method one, None if it has no data."""

    def __init__(self, run: Run, page: default.Page, folder: Path) -> None:
        self.run, self.page, self.folder = run, page, folder
        self.title = page.title(run)
        self.best, hand = winning_trial(run), hand_tuned_trial(run)
        own = self.best is not None and hand is not None and hand["number"] == self.best["number"]
        self.hand = None if own else hand

    @property
    def pictures(self) -> default.Pictures:
        return {
            "samples": self.samples, "training": self.training, "walk": self.walk,
            "interpolation": self.interpolation, "neighbours": self.neighbours,
            "history": self.history, "digits": self.digits, "slices": self.slices,
            "front": self.front, "schedules": self.schedules,
        }  # fmt: skip

    def slices(self) -> Picture | None:
        return default.slices(self.run, self.page.axis(self.run, "fd"), self.folder)

    def front(self) -> Picture | None:
        trials = self.run.trials
        if not {"fd", "clean"} <= {*trials} or trials.dropna(subset=["fd", "clean"]).empty:
            return None
        title = f"{self.title}: {counted(len(trials), 'trial')} by fd and clean"
        real = self.run.search["judges"]["search"]["floor"]
        plane = figures.quality_plane(trials, self.run.best, real, title)
        return self._save(plane, "front", f"{title}, with real images as a star.")

    def _save(self, figure: Any, name: str, alt: str) -> Picture:
        return save(figure, self.folder, name, alt)

    def _save_gif(
        self, frames: list[Gray], frame_ms: int, last_ms: int, name: str, alt: str
    ) -> Picture:
        content = figures.animation(frames, frame_ms, last_ms)
        (self.folder / f"{name}.gif").write_bytes(content)
        return Picture(f"{name}.gif", alt)

    @cached_property
    def _grids(self) -> tuple[dict[int, Gray], dict[int, Gray]]:
        """The winner's sample grids by step: in the search, and in the final training."""
        if self.best is None:
            return {}, {}
        own = grids(self.run.directory.trial(int(self.best["number"])).path)
        return own, {} if self.run.final_reports.empty else grids(self.run.final)

    def samples(self) -> Picture | None:
        (own, final), run = self._grids, self.run
        whole = {**own, **final}
        if not whole:
            return None
        rows = [Samples(f"best, trial {run.best}", whole)]
        if self.hand is not None:
            earlier = grids(run.directory.trial(int(self.hand["number"])).path)
            rows.insert(0, Samples(HAND_TUNED, earlier))
        steps = early_middle_late(sorted(own or whole)) + ([max(final)] if final else [])
        labels = "; ".join(row.label for row in rows)
        alt = f"Sample grids of a fixed latent at steps {', '.join(map(str, steps))}: {labels}"
        return self._save(figures.sample_grids(rows, steps, self.title), "samples", alt)

    def training(self) -> Picture | None:
        own, final = self._grids
        whole = {**own, **final}
        frames = [whole[step] for step in spread(sorted(whole), TRAINING_FRAMES)] if whole else []
        if len({frame.shape for frame in frames}) != 1:
            return None
        alt = "The sample grid from the first step to the last."
        return self._save_gif(frames, FRAME_MS, 10 * FRAME_MS, "training", alt)

    @cached_property
    def _reports(self) -> pd.DataFrame:
        """The winner's reports, in the search and in the final training."""
        if self.best is None:
            return pd.DataFrame()
        own = self.run.reports(int(self.best["number"]))
        return pd.concat([own, self.run.final_reports], ignore_index=True)

    def history(self) -> Picture | None:
        run, best, hand, reports = self.run, self.best, self.hand, self._reports
        if best is None or reports.empty:
            return None
        beside = pd.DataFrame() if hand is None else run.reports(int(hand["number"]))
        alone = not run.final_reports.empty and pd.notna(best["step"])
        draw = partial(
            figures.training_history,
            None if beside.empty else Curve(HAND_TUNED, beside),
            Curve("best", reports),
            int(best["step"]) if alone else None,
            run.search["judges"]["search"]["floor"]["clean"],
            self.title,
        )
        alt = (
            "Fréchet distance, clean, coverage, D(x), D(G(z)) and both losses over training steps."
        )
        return save(draw(), self.folder, "history", alt, draw(columns=1))

    def digits(self) -> Picture | None:
        made = self._reports.get("digits", pd.Series(dtype=object)).dropna()
        if made.empty:
            return None
        title = "How often each class appears among the best generator's images"
        real = self.run.search["images"]["shares"]
        figure = figures.class_histogram(made.iloc[-1], real, title)
        return self._save(figure, "digits", f"{title}.")

    def schedules(self) -> Picture | None:
        """The settings that changed during training in a population based search."""
        run, space = self.run, self.run.search["space"]
        mutable = {name: scale for name, scale in scales(run).items() if space[name].get("mutable")}
        if run.schedules.empty or not mutable:
            return None
        lineage = [] if run.best is None else run.directory.lineage(run.best)
        count, end = run.schedules["number"].nunique(), int(run.fixed["max_steps"])
        title = f"{self.title}: the settings of {counted(count, 'trial')} over training"
        figure = figures.schedules(run.schedules, mutable, lineage, end, title)
        trials = ", ".join(str(number) for _, number in lineage)
        alt = f"{title}; the weights of trial {run.best} were trained in trials {trials}."
        return self._save(figure, "schedules", alt)

    @cached_property
    def _generator(self) -> Any:
        """The exported generator; None if there is none, or if its file was cut off."""
        from trainables.gan.model import load_generator

        folder = self.run.path / "best"
        try:
            return load_generator(folder) if self.best is not None and folder.is_dir() else None
        except Exception as error:  # a cut-off file can cause any of them
            self.run.note(f"best/model.safetensors cannot be loaded ({type(error).__name__})")
            return None

    def _latents(self) -> tuple[Any, Any]:
        """The ends of the interpolations, and the stops of the walk, from one stream."""
        import torch

        stream = torch.Generator().manual_seed(LATENT_SEED)
        ends = self._generator.draw_latents(2 * INTERPOLATED_ROWS, stream)
        return ends, self._generator.draw_latents(25 * WALK_STOPS, stream).view(WALK_STOPS, 25, -1)

    def _images(self, latents: Any) -> Gray:
        import torch

        from trainables.gan.images import to_uint8

        with torch.inference_mode():
            drawn: Gray = to_uint8(self._generator(latents)).numpy()
        return drawn

    def interpolation(self) -> Picture | None:
        from trainables.gan.latents import interpolate_linear, interpolate_spherical

        if self._generator is None:
            return None
        ends, _ = self._latents()
        pairs = list(zip(ends[::2], ends[1::2], strict=True))
        linear, spherical = (
            np.stack([self._images(path(begin, end, STEPS_BETWEEN)) for begin, end in pairs])
            for path in (interpolate_linear, interpolate_spherical)
        )
        title = f"{self.title}: from one latent to another"
        alt = f"{title}, straight and along the great circle."
        return self._save(figures.interpolations(linear, spherical, title), "interpolation", alt)

    def walk(self) -> Picture | None:
        import torch

        from trainables.gan.latents import interpolate_spherical

        if self._generator is None:
            return None
        _, stops = self._latents()
        frames: list[Gray] = []
        for legs in zip(stops, stops.roll(-1, 0), strict=True):
            paths = [
                interpolate_spherical(target, begin, WALK_FRAMES)[:-1]
                for begin, target in zip(*legs, strict=True)
            ]
            for latents in torch.stack(paths, dim=1):  # (25, Z) a frame
                frames.append(figures.tiled(self._images(latents).reshape(5, 5, 28, 28), gap=2))
        alt = "25 images that change as their latents change."
        return self._save_gif(frames, FRAME_MS // 2, FRAME_MS // 2, "walk", alt)

    def neighbours(self) -> Picture | None:
        run, name = self.run, "nearest.npz"
        trials = [run.directory.confirmation().trial(n) for n in run.confirmed.get("number", [])]
        places = [trial.path for trial in trials]
        if not run.final_reports.empty:
            places.insert(0, run.final)
        file = next((place / name for place in places if (place / name).exists()), None)
        if self.best is None or file is None:
            return None
        try:
            with np.load(file) as found:
                made, nearest = found["made"], found["nearest"]
        except Exception:
            run.note(f"{file.relative_to(run.path)} cannot be read")
            return None
        title = "Generated image and nearest training image"
        figure = figures.neighbour_pairs(made, nearest, title)
        return self._save(figure, "neighbours", f"{title}, in pairs.")


def early_middle_late(steps: list[int]) -> list[int]:
    """The first step, the step nearest to a third of the last, and the last, each once."""
    middle = min(steps, key=lambda step: abs(step - steps[-1] / 3))
    return sorted({steps[0], middle, steps[-1]})


def spread(steps: list[int], count: int) -> list[int]:
    """At most ``count`` of the steps, ever farther apart, as training slows down."""
    wanted = np.geomspace(steps[0], steps[-1], count)
    return sorted({min(steps, key=lambda step: abs(step - one)) for one in wanted})


def grids(trial: Path) -> dict[int, Gray]:
    """A trial's sample grids by step; a picture that cannot be read is left out."""
    found: dict[int, Gray] = {}
    for file in sorted((trial / "gan_images").glob("step_*.png")):
        try:
            with Image.open(file) as picture:
                found[int(file.stem.removeprefix("step_"))] = np.asarray(picture.convert("L"))
        except (OSError, ValueError):
            continue
    return found
