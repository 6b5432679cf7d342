"""What a GAN run's page shows: quality compared with real images, and the pictures of
``gan_pictures``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from records.checks.check import counted
from records.run import Run
from reports.content import Answer, answer, number
from reports.experiments import default
from reports.experiments.default import Section
from reports.experiments.gan_pictures import Drawing, hand_tuned_trial, winning_trial

TRIAL_METRICS = ("fd", "fd_ratio", "clean", "coverage", "epoch")
QUALITY = ("fd", "fd_ratio", "clean", "coverage", "density", "manifold_coverage", "copied")


class Page(default.Page):
    """A GAN's run."""

    template = "gan.html"
    front_page = "samples"
    logarithmic = ("fd", "fd_ratio")

    def suits(self, run: Run) -> bool:
        return "dataset" in run.fixed and "judges" in run.search

    def title(self, run: Run) -> str:
        return f"GAN, {run.fixed['dataset']}"

    def measured(self, run: Run) -> list[str]:
        return ["fd", "clean", "coverage"]

    def comparable(self, run: Run) -> list[str]:
        return ["fd_ratio", "clean", "coverage"]  # each data set has judges of its own

    def columns(self, run: Run) -> list[str]:
        return [name for name in TRIAL_METRICS if name in run.trials]

    def result(self, run: Run) -> str:
        return "fd_ratio"

    def answer(self, run: Run) -> Answer | None:
        return answer(run, self.result(run), final_words(run))

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> default.Pictures:
        return Drawing(run, self, folder).pictures

    def extra(self, run: Run, companions: list[Run]) -> dict[str, Any]:
        return {
            "quality": quality_table(run),
            "quality_columns": QUALITY,
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
    """What the final training reached, in two sentences; empty if there was none."""
    if run.final_reports.empty:
        return ""
    row, real = run.final_reports.iloc[-1], run.search["judges"]["final"]["floor"]
    return (
        f"Trained on to step {number(row['step'])} and judged by a judge that no trial had seen:"
        f" fd {number(row['fd_ratio'])} times that of real images, clean"
        f" {number(row['clean'])} (real images {number(real['clean'])}), coverage"
        f" {number(row['coverage'])}."
    )


def quality_table(run: Run) -> list[dict[str, Any]]:
    """The quality of generated and real images, a row each.

    The search's judge measures the hand-tuned and the best trial. The final judge measures the
    best settings on fresh seeds and after the final training. Each judge measures real images.
    """
    judges, final = run.search["judges"], run.final_reports
    measured: list[tuple[str, Mapping[Any, Any]]] = []
    for name, trial in (
        ("hand-tuned", hand_tuned_trial(run)),
        ("best, in the search", winning_trial(run)),
    ):
        if trial is not None:
            measured.append((f"{name} (step {number(trial['step'])})", trial.to_dict()))
    real = {**judges["search"]["floor"], "fd_ratio": 1.0}
    measured.append(("real images, by the search's judge", real))
    seeds = run.confirmed.dropna(subset=["fd"]) if "fd" in run.confirmed else pd.DataFrame()
    if not seeds.empty:
        mean = seeds[[name for name in QUALITY if name in seeds]].mean().to_dict()
        measured.append((f"best, mean of {counted(len(seeds), 'fresh seed')}", mean))
    if not final.empty:
        row = final.iloc[-1].to_dict()
        measured.append((f"after final training (step {number(row['step'])})", row))
    real = {**judges["final"]["floor"], "fd_ratio": 1.0}
    measured.append(("real images, by the final judge", real))
    return [
        {"name": name, "cells": [number(values.get(column)) for column in QUALITY]}
        for name, values in measured
    ]
