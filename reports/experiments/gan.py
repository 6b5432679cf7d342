"""What a GAN run's page shows: quality beside real images, samples, interpolations, nearest training images, training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from records.run import Run
from reports.content import Answer, Picture, answer, number, save, scales
from reports.experiments import default
from reports.experiments import gan_figures as figures
from reports.experiments.default import Section
from reports.experiments.gan_figures import Gray, History, Samples
from reports.figures.printed import parameter_slices

PICTURES = (
    "samples",
    "training",
    "walk",
    "interpolation",
    "neighbours",
    "history",
    "digits",
    "slices",
    "front",
    "schedules",
)
TRIAL_METRICS = ("fd", "fd_ratio", "clean", "coverage", "epoch")
QUALITY = ("fd", "fd_ratio", "clean", "coverage", "density", "manifold_coverage", "copied")

HAND_TUNED = "hand-tuned, defaults"
"""The known settings that everything is set beside."""

LATENT_SEED = 0
INTERPOLATED_ROWS = 6
STEPS_BETWEEN = 9
"""n of the coursework's interpolation."""
WALK_STOPS, WALK_FRAMES = 5, 10
TRAINING_FRAMES = 40
FRAME_MS = 160


class Page(default.Page):
    """A GAN's run."""

    template = "gan.html"
    front_page = "samples"
    logarithmic = ("fd", "fd_ratio")
    percentages = ("clean", "coverage")

    def title(self, run: Run) -> str:
        return f"GAN, {run.fixed['dataset']}"

    def measured(self, run: Run) -> list[str]:
        return ["fd", "clean", "coverage"]

    def comparable(self, run: Run) -> list[str]:
        return ["fd_ratio", "clean", "coverage"]  # each data set has judges of its own

    def columns(self, run: Run) -> list[str]:
        return [name for name in TRIAL_METRICS if name in run.trials]

    def answer(self, run: Run) -> Answer | None:
        return answer(run, "fd_ratio", self.shown, final_words(run))

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> dict[str, Picture | None]:
        return pictures(run, self.title(run), folder)

    def extra(self, run: Run, companions: list[Run]) -> dict[str, Any]:
        return {
            "quality": quality_table(run),
            "trained_on": not run.final_reports.empty,
            "lineage": []
            if run.schedules.empty or run.best is None
            else run.directory.lineage(run.best),
        }

    def compared(self, run: Run) -> list[dict[str, Any]]:
        return quality_table(run)

    def section(self, runs: list[Any], folder: Path) -> Section:
        return Section("Images by data set", "gan_compared.html", {})


def final_words(run: Run) -> str:
    """What the exported generator came to, in a sentence; empty where there was no final training."""
    if run.final_reports.empty:
        return ""
    row, floor = run.final_reports.iloc[-1], run.search["judges"]["final"]["floor"]
    return (
        f"Trained on to step {number(row['step'])} and judged by a judge that no trial had seen: fd {number(row['fd_ratio'])}"
        f" times real against real, clean {row['clean']:.3f} (real {floor['clean']:.3f}), coverage {row['coverage']:.3f}."
    )


def quality_table(run: Run) -> list[dict[str, Any]]:
    """By the search's judge: hand-tuned, best, real; by the final one: best on fresh seeds, after final training, real."""
    judges = run.search["judges"]
    measured: list[tuple[str, Mapping[Any, Any]]] = []
    for name, trial in (("hand-tuned", known_trial(run)), ("best, in the search", winner_row(run))):
        if trial is not None:
            measured.append((f"{name} (step {number(trial['step'])})", trial.to_dict()))
    measured.append(
        ("real images, by the search's judge", {**judges["search"]["floor"], "fd_ratio": 1.0})
    )
    seeds = run.confirmed.dropna(subset=["fd"]) if "fd" in run.confirmed else pd.DataFrame()
    if not seeds.empty:
        mean = seeds[[name for name in QUALITY if name in seeds]].mean().to_dict()
        measured.append((f"best, mean of {len(seeds)} fresh seeds", mean))
    if not run.final_reports.empty:
        row = run.final_reports.iloc[-1].to_dict()
        measured.append((f"after final training (step {number(row['step'])})", row))
    measured.append(
        ("real images, by the final judge", {**judges["final"]["floor"], "fd_ratio": 1.0})
    )
    return [
        {"name": name, "figures": [number(figures.get(column)) for column in QUALITY]}
        for name, figures in measured
    ]


def known_trial(run: Run) -> "pd.Series[Any] | None":
    trials = run.trials[run.trials["baseline"] == HAND_TUNED]
    return None if trials.empty else trials.iloc[0]


def winner_row(run: Run) -> "pd.Series[Any] | None":
    return None if run.best is None else run.trials[run.trials["number"] == run.best].iloc[0]


def pictures(run: Run, named: str, folder: Path) -> dict[str, Picture | None]:
    drawn: dict[str, Picture | None] = dict.fromkeys(PICTURES)
    if run.trials.empty:
        return drawn
    if "fd" in run.trials:
        title = "fd of every trial, against each setting"
        slices = parameter_slices(run.trials, scales(run), run.best, "fd", title)
        alt = "The Fréchet distance of every trial against each of its settings, marked by how the trial ended."
        drawn["slices"] = save(slices, folder, "slices", alt)
    if {"fd", "clean"} <= set(run.trials) and run.trials[["fd", "clean"]].notna().all(axis=1).any():
        title = f"{named}: {len(run.trials)} trials by fd and clean"
        plane = figures.quality_plane(
            run.trials, run.best, run.search["judges"]["search"]["floor"], title
        )
        drawn["front"] = save(plane, folder, "front", f"{title}, with real images as a star.")
    best, hand = winner_row(run), known_trial(run)
    draw_schedules(run, named, folder, drawn)
    if best is None:
        return drawn
    draw_samples(run, named, best, hand, folder, drawn)
    draw_history(run, named, best, hand, folder, drawn)
    draw_from_generator(run, named, folder, drawn)
    draw_neighbours(run, folder, drawn)
    return drawn


def draw_samples(
    run: Run,
    named: str,
    best: "pd.Series[Any]",
    hand: "pd.Series[Any] | None",
    folder: Path,
    drawn: dict[str, Picture | None],
) -> None:
    rows = []
    if hand is not None and hand["number"] != best["number"]:
        rows.append(Samples(HAND_TUNED, grids(run.path / f"trial_{int(hand['number']):04d}")))
    own = grids(run.path / f"trial_{int(best['number']):04d}")
    trained_on = grids(run.final) if not run.final_reports.empty else {}
    whole = {**own, **trained_on}
    rows.append(Samples(f"best, trial {best['number']}", whole))
    if not whole:
        return
    steps = early_middle_late(sorted(own) or sorted(whole)) + (
        [max(trained_on)] if trained_on else []
    )
    alt = f"Sample grids of a fixed latent at steps {', '.join(map(str, steps))}: " + "; ".join(
        row.label for row in rows
    )
    drawn["samples"] = save(figures.sample_grids(rows, steps, named), folder, "samples", alt)
    frames = [whole[step] for step in spread(sorted(whole), TRAINING_FRAMES)]
    if len({frame.shape for frame in frames}) == 1:
        content = figures.animation(frames, FRAME_MS, 10 * FRAME_MS)
        drawn["training"] = save_gif(
            content, folder, "training", "The sample grid from the first step to the last."
        )


def draw_history(
    run: Run,
    named: str,
    best: "pd.Series[Any]",
    hand: "pd.Series[Any] | None",
    folder: Path,
    drawn: dict[str, Picture | None],
) -> None:
    reports = pd.concat([run.reports(int(best["number"])), run.final_reports], ignore_index=True)
    if reports.empty:
        return
    beside = None
    if (
        hand is not None
        and hand["number"] != best["number"]
        and not (hand_tuned := run.reports(int(hand["number"]))).empty
    ):
        beside = History(HAND_TUNED, hand_tuned)
    trained_alone = not run.final_reports.empty and pd.notna(best["step"])
    final_from = int(best["step"]) if trained_alone else None
    clean_floor = run.search["judges"]["search"]["floor"]["clean"]
    figure = figures.training_history(
        beside, History("best", reports), final_from, clean_floor, named
    )
    alt = "Fréchet distance, clean share, coverage, D(x), D(G(z)) and both losses over training steps."
    drawn["history"] = save(figure, folder, "history", alt)
    shares = reports["digits"].dropna() if "digits" in reports else pd.Series(dtype=object)
    if not shares.empty:
        title = "How often each class appears among the best generator's images"
        real = run.search["images"]["shares"]
        drawn["digits"] = save(
            figures.class_histogram(shares.iloc[-1], real, title), folder, "digits", f"{title}."
        )


def draw_schedules(run: Run, named: str, folder: Path, drawn: dict[str, Picture | None]) -> None:
    """The settings that changed on the way, where the search was population based."""
    if run.schedules.empty:
        return
    perturbed = {
        name: scale
        for name, scale in scales(run).items()
        if run.search["space"][name].get("mutable")
    }
    lineage = [] if run.best is None else run.directory.lineage(run.best)
    title = f"{named}: the settings of {run.schedules['number'].nunique()} trials over training"
    figure = figures.schedules(
        run.schedules, perturbed, lineage, int(run.search["fixed"]["max_steps"]), title
    )
    alt = f"{title}; the weights of trial {run.best} were trained in trials {', '.join(str(one) for _, one in lineage)}."
    drawn["schedules"] = save(figure, folder, "schedules", alt)


def draw_from_generator(
    run: Run, named: str, folder: Path, drawn: dict[str, Picture | None]
) -> None:
    """Interpolations, drawn by the exported generator."""
    import torch

    from trainables.gan.images import to_uint8
    from trainables.gan.latents import interpolate_linear, interpolate_spherical
    from trainables.gan.model import load_generator

    if not (run.path / "best").is_dir():
        return
    try:
        generator = load_generator(run.path / "best")
    except Exception as error:  # a torn file raises whatever its first torn byte happens to mean
        run.note(f"best/model.safetensors cannot be loaded ({type(error).__name__})")
        return

    @torch.inference_mode()
    def draw(latents: Any) -> Gray:
        images: Gray = to_uint8(generator(latents)).numpy()
        return images

    stream = torch.Generator().manual_seed(LATENT_SEED)
    ends = generator.draw_latents(2 * INTERPOLATED_ROWS, stream)
    pairs = list(zip(ends[::2], ends[1::2], strict=True))
    linear, spherical = (
        np.stack([draw(path(begin, end, STEPS_BETWEEN)) for begin, end in pairs])
        for path in (interpolate_linear, interpolate_spherical)
    )
    title = f"{named}: from one latent to another"
    figure = figures.interpolations(linear, spherical, title)
    drawn["interpolation"] = save(
        figure, folder, "interpolation", f"{title}, straight and along the great circle."
    )
    stops = generator.draw_latents(25 * WALK_STOPS, stream).view(WALK_STOPS, 25, -1)
    frames: list[Gray] = []
    for stop, place in enumerate(stops):
        following = stops[(stop + 1) % WALK_STOPS]
        paths = [
            interpolate_spherical(following[cell], place[cell], WALK_FRAMES)[:-1]
            for cell in range(25)
        ]
        for latents in torch.stack(paths, dim=1):  # (25, Z) a frame
            frames.append(figures.tiled(draw(latents).reshape(5, 5, 28, 28), gap=2))
    content = figures.animation(frames, FRAME_MS // 2, FRAME_MS // 2)
    drawn["walk"] = save_gif(
        content, folder, "walk", "25 images that change as their latents wander."
    )


def draw_neighbours(run: Run, folder: Path, drawn: dict[str, Picture | None]) -> None:
    file = run.final / "nearest.npz"
    if run.final_reports.empty or not file.exists():
        seeds = [
            run.path / "confirmation" / f"trial_{number:04d}" / "nearest.npz"
            for number in run.confirmed.get("number", [])
        ]
        file = next((seed for seed in seeds if seed.exists()), file)
        if not file.exists():
            return
    try:
        with np.load(file) as found:
            made, nearest = found["made"], found["nearest"]
    except Exception:
        run.note(f"{file.relative_to(run.path)} cannot be read")
        return
    title = "Made image and nearest training image"
    drawn["neighbours"] = save(
        figures.neighbour_pairs(made, nearest, title), folder, "neighbours", f"{title}, in pairs."
    )


def early_middle_late(steps: list[int]) -> list[int]:
    """The first step, the one nearest to a third of the last, and the last, each once."""
    middle = min(steps, key=lambda step: abs(step - steps[-1] / 3))
    return sorted({steps[0], middle, steps[-1]})


def spread(steps: list[int], count: int) -> list[int]:
    """At most ``count`` of the steps, dense at first and ever farther apart, as training itself slows down."""
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


def save_gif(content: bytes, folder: Path, name: str, alt: str) -> Picture:
    (folder / f"{name}.gif").write_bytes(content)
    return Picture(f"{name}.gif", alt)
