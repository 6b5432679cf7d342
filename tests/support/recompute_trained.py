"""The checks PATH01 and STOP01, which rest on trainings made for them, computed from a run's raw
files.

Like the other checks (``recompute_checks``), each function returns a status and the items of its
sentence, and nothing here comes from the project's own code.
"""

import math
from collections.abc import Sequence
from itertools import count, pairwise
from typing import Any

from scipy import stats

from tests.support.raw_run import Item, RawRun, Trial, average, has_ended
from tests.support.recompute_checks import NOT_APPLICABLE, Said, no_winner, of_all

Stage = tuple[str, dict[int, float]]
"""What changed, and the loss by seed after it; that of a broken training is infinite."""


def stages(run: RawRun) -> list[Stage]:
    """The path to the winner's settings, one change at a time; it begins at the last hand-tuned
    settings."""
    if run.winner is None:
        return []
    folder = run.path / "ablation" / f"trial_{run.winner.number:04d}"
    steps: dict[int, Stage] = {}
    for one in filter(has_ended, run.read_trials(folder)):
        changed = one.config["changed"]
        name = changed if isinstance(changed, str) else " and ".join(changed)
        step = steps.setdefault(one.config["ablation"], (name, {}))
        step[1][one.config["seed"]] = one.fresh_loss
    trained = [steps[place] for place in sorted(steps)]
    starts = [one for one in trained if not one[0]] or [
        ("", {one.config["seed"]: one.loss})
        for one in run.finished
        if one.config.get("baseline", "").startswith("hand-tuned") and one.loss < math.inf
    ]
    changes = [one for one in trained if one[0]]
    return [starts[-1], *changes] if starts and changes else []


def path01(run: RawRun) -> Said:
    """What each change from the hand-tuned settings to the winner's brought."""
    if run.winner is None:
        return no_winner(run)
    path = stages(run)
    if not path:
        return NOT_APPLICABLE, [0, "changes", "trial", run.winner.number]
    changes = len(path) - 1
    items: list[Item] = [f"from {run.objective['metric']}", _reached(run, path[0]), "to"]
    items += [_reached(run, path[-1]), "in", changes, "change", len(path[-1][1]), "fresh seed"]
    told: dict[str, list[str]] = {"better": [], "worse": [], "not shown": []}
    for before, after in pairwise(path):
        seeds = sorted(before[1].keys() & after[1])
        gains = [before[1][seed] - after[1][seed] for seed in seeds]
        shown, words = _effect(run, before, after, gains, 0.05 / changes)
        items += words
        told[shown].append(after[0])
    if told["worse"]:
        return "tip", [*items, f"shown to make it worse: {', '.join(told['worse'])}."]
    if told["not shown"]:
        return "inconclusive", [*items, f"more than chance: {', '.join(told['not shown'])}."]
    return "passed", [*items, "each is shown to help"]


def _reached(run: RawRun, stage: Stage) -> Item:
    mean = average(stage[1].values())
    return run.sign * mean if math.isfinite(mean) else "no value"


def _effect(
    run: RawRun, before: Stage, after: Stage, gains: Sequence[float], missed: float
) -> tuple[str, list[Item]]:
    """Whether the seeds show an effect of a change, and the items that tell it.

    Student's interval for the mean gain, which misses it as often as ``missed``.
    """
    if not gains or not all(map(math.isfinite, gains)):
        first, last = (average(one[1].values()) for one in (before, after))
        if first < math.inf > last:
            return "not shown", _signed(run, after[0], first - last)
        how = "repaired it" if last < math.inf else "broke it" if first < math.inf else "left it"
        return "not shown", [f"{after[0]} {how}"]
    centre = average(gains)
    items = _signed(run, after[0], centre)
    if len({*gains}) == 1:
        return "not shown", items
    low, high = map(float, stats.ttest_1samp(gains, 0).confidence_interval(1 - missed))
    shown = "better" if low > 0 else "worse" if high < 0 else "not shown"
    return shown, [*items, "±", (high - low) / 2]


def _signed(run: RawRun, changed: str, gain: float) -> list[Item]:
    change = -run.sign * gain
    return [f"{changed} {'+' if change >= 0 else '−'}", abs(change)]


def stop01(run: RawRun) -> Said:
    """How often a trial that would have been stopped early beat all others."""
    stopped = sum(one.ended == "stopped early" for one in run.finished)
    audited = [
        one for one in run.finished if one.audited is not None and one.ended != "stopped early"
    ]
    if not audited:
        return NOT_APPLICABLE, ["stopped early:", stopped, "trial", "let run on", 0]
    n, complete = len(audited), [(one, one.loss) for one in run.complete]
    best = min((loss for one, loss in complete if one.audited is None), default=math.inf)
    better = sum(loss < best for one, loss in complete if one.audited is not None)
    _, *_, fewest, _, most = beaten = of_all(better, n)
    low, high = (round(stopped * float(end or 0)) for end in (fewest, most))
    items: list[Item] = [better, "of", n, *beaten, low]
    items += ["to", high] if high > low else []
    items += ["of the", stopped]
    items += [_among(audited, run.best_quarter), "of", n, "best quarter"]
    items += [sum(map(run.reaches, audited)), "reached the goal"]
    if better:
        return "issue", items
    enough = next(k for k in count(1) if 1 - 0.025 ** (1 / k) <= 0.25)
    return ("passed", items) if n >= enough else ("inconclusive", [*items, enough, 0.25])


def _among(some: Sequence[Trial], every: Sequence[Trial]) -> int:
    numbers = {one.number for one in every}
    return sum(one.number in numbers for one in some)


TRAINED: dict[str, Any] = {"PATH01": path01, "STOP01": stop01}
