"""The pictures of a GAN run's page: what is drawn from which files of the run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from records.run import Run
from reports.content import Picture, save, scales
from reports.experiments import default
from reports.experiments import gan_figures as figures
from reports.experiments.gan_figures import Gray, Samples
from reports.figures.printed import Curve

PICTURES = (
    "samples", "training", "walk", "interpolation", "neighbours", "history", "digits", "slices",
    "front", "schedules",
)  # fmt: skip

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


@dataclass
class Pictures:
    """Draws the pictures of ``run`` into ``folder``; those that cannot be drawn stay None."""

    run: Run
    page: default.Page
    folder: Path
    drawn: dict[str, Picture | None] = field(default_factory=lambda: dict.fromkeys(PICTURES))

    def draw(self) -> dict[str, Picture | None]:
        run, self.title = self.run, self.page.title(self.run)
        if run.trials.empty:
            return self.drawn
        if "fd" in run.trials:
            self.drawn["slices"] = default.slices(run, self.page.axis(run, "fd"), self.folder)
        both = {"fd", "clean"} <= set(run.trials)
        if both and run.trials[["fd", "clean"]].notna().all(axis=1).any():
            title = f"{self.title}: {len(run.trials)} trials by fd and clean"
            real = run.search["judges"]["search"]["floor"]
            plane = figures.quality_plane(run.trials, run.best, real, title)
            self._save(plane, "front", f"{title}, with real images as a star.")
        if not run.schedules.empty:
            self._draw_schedules()
        best, hand = winning_trial(run), hand_tuned_trial(run)
        if best is not None:
            other = hand if hand is not None and hand["number"] != best["number"] else None
            self._draw_samples(best, other)
            self._draw_history(best, other)
            self._draw_from_generator()
            self._draw_neighbours()
        return self.drawn

    def _save(self, figure: Any, name: str, alt: str) -> None:
        self.drawn[name] = save(figure, self.folder, name, alt)

    def _save_gif(
        self, frames: list[Gray], frame_ms: int, last_ms: int, name: str, alt: str
    ) -> None:
        content = figures.animation(frames, frame_ms, last_ms)
        (self.folder / f"{name}.gif").write_bytes(content)
        self.drawn[name] = Picture(f"{name}.gif", alt)

    def _draw_samples(self, best: "pd.Series[Any]", hand: "pd.Series[Any] | None") -> None:
        run = self.run
        own = grids(run.directory.trial(int(best["number"])).path)
        final = {} if run.final_reports.empty else grids(run.final)
        whole = {**own, **final}
        if not whole:
            return
        rows = [Samples(f"best, trial {best['number']}", whole)]
        if hand is not None:
            earlier = grids(run.directory.trial(int(hand["number"])).path)
            rows.insert(0, Samples(HAND_TUNED, earlier))
        steps = early_middle_late(sorted(own or whole)) + ([max(final)] if final else [])
        labels = "; ".join(row.label for row in rows)
        alt = f"Sample grids of a fixed latent at steps {', '.join(map(str, steps))}: {labels}"
        self._save(figures.sample_grids(rows, steps, self.title), "samples", alt)
        frames = [whole[step] for step in spread(sorted(whole), TRAINING_FRAMES)]
        if len({frame.shape for frame in frames}) == 1:
            alt = "The sample grid from the first step to the last."
            self._save_gif(frames, FRAME_MS, 10 * FRAME_MS, "training", alt)

    def _draw_history(self, best: "pd.Series[Any]", hand: "pd.Series[Any] | None") -> None:
        run = self.run
        own = run.reports(int(best["number"]))
        reports = pd.concat([own, run.final_reports], ignore_index=True)
        if reports.empty:
            return
        beside = pd.DataFrame() if hand is None else run.reports(int(hand["number"]))
        alone = not run.final_reports.empty and pd.notna(best["step"])
        figure = figures.training_history(
            None if beside.empty else Curve(HAND_TUNED, beside),
            Curve("best", reports),
            int(best["step"]) if alone else None,
            run.search["judges"]["search"]["floor"]["clean"],
            self.title,
        )
        alt = (
            "Fréchet distance, clean, coverage, D(x), D(G(z)) and both losses over training steps."
        )
        self._save(figure, "history", alt)
        made = reports["digits"].dropna() if "digits" in reports else pd.Series(dtype=object)
        if not made.empty:
            title = "How often each class appears among the best generator's images"
            real = run.search["images"]["shares"]
            figure = figures.class_histogram(made.iloc[-1], real, title)
            self._save(figure, "digits", f"{title}.")

    def _draw_schedules(self) -> None:
        """The settings that changed during training in a population based search."""
        run, space = self.run, self.run.search["space"]
        mutable = {name: scale for name, scale in scales(run).items() if space[name].get("mutable")}
        lineage = [] if run.best is None else run.directory.lineage(run.best)
        count, end = run.schedules["number"].nunique(), int(run.fixed["max_steps"])
        title = f"{self.title}: the settings of {count} trials over training"
        figure = figures.schedules(run.schedules, mutable, lineage, end, title)
        trials = ", ".join(str(number) for _, number in lineage)
        alt = f"{title}; the weights of trial {run.best} were trained in trials {trials}."
        self._save(figure, "schedules", alt)

    def _draw_from_generator(self) -> None:
        """Interpolations, drawn by the exported generator."""
        import torch

        from trainables.gan.images import to_uint8
        from trainables.gan.latents import interpolate_linear, interpolate_spherical

        generator = self._load_generator()
        if generator is None:
            return

        @torch.inference_mode()
        def images(latents: Any) -> Gray:
            drawn: Gray = to_uint8(generator(latents)).numpy()
            return drawn

        stream = torch.Generator().manual_seed(LATENT_SEED)
        ends = generator.draw_latents(2 * INTERPOLATED_ROWS, stream)
        pairs = list(zip(ends[::2], ends[1::2], strict=True))
        linear, spherical = (
            np.stack([images(path(begin, end, STEPS_BETWEEN)) for begin, end in pairs])
            for path in (interpolate_linear, interpolate_spherical)
        )
        title = f"{self.title}: from one latent to another"
        alt = f"{title}, straight and along the great circle."
        self._save(figures.interpolations(linear, spherical, title), "interpolation", alt)
        stops = generator.draw_latents(25 * WALK_STOPS, stream).view(WALK_STOPS, 25, -1)
        frames: list[Gray] = []
        for legs in zip(stops, stops.roll(-1, 0), strict=True):
            paths = [
                interpolate_spherical(target, begin, WALK_FRAMES)[:-1]
                for begin, target in zip(*legs, strict=True)
            ]
            for latents in torch.stack(paths, dim=1):  # (25, Z) a frame
                frames.append(figures.tiled(images(latents).reshape(5, 5, 28, 28), gap=2))
        alt = "25 images that change as their latents change."
        self._save_gif(frames, FRAME_MS // 2, FRAME_MS // 2, "walk", alt)

    def _load_generator(self) -> Any:
        """The exported generator; None if there is none, or if its file was cut off."""
        from trainables.gan.model import load_generator

        folder = self.run.path / "best"
        try:
            return load_generator(folder) if folder.is_dir() else None
        except Exception as error:  # a cut-off file can cause any of them
            self.run.note(f"best/model.safetensors cannot be loaded ({type(error).__name__})")
            return None

    def _draw_neighbours(self) -> None:
        run, name = self.run, "nearest.npz"
        trials = [run.directory.confirmation().trial(n) for n in run.confirmed.get("number", [])]
        places = [trial.path for trial in trials]
        if not run.final_reports.empty:
            places.insert(0, run.final)
        file = next((place / name for place in places if (place / name).exists()), None)
        if file is None:
            return
        try:
            with np.load(file) as found:
                made, nearest = found["made"], found["nearest"]
        except Exception:
            run.note(f"{file.relative_to(run.path)} cannot be read")
            return
        title = "Generated image and nearest training image"
        figure = figures.neighbour_pairs(made, nearest, title)
        self._save(figure, "neighbours", f"{title}, in pairs.")


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
