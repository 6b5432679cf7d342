"""SEED: do the best settings hold where the search did not look?"""

from functools import partial
from statistics import mean

from records.checks.check import Check, amount, between, counted, percent
from records.checks.statistics import mean_interval, share_interval
from records.objective import Goal, Objective
from records.run import Run

SEEDS = 20
"""Fresh seeds with which an interval becomes narrow: 20 of 20 leave 83% to 100%, 5 of 5 leave 48% to 100%."""
OWN_SETTINGS = ("seed", "trial", "confirms", "baseline", "number", "restore_from")
"""What differs between a trial and its repetition on a fresh seed though both are measured alike."""

holds = partial(
    Check,
    "SEED01",
    detected="The winner's settings, trained again on seeds that no trial of the search had; Clopper and Pearson's interval for"
    " the share of seeds that reach the goal.",
    matters="Settings that work on one seed only do not work: the next training has another one.",
)
flattered = partial(
    Check,
    "SEED02",
    detected="The winner's figure in the search less its mean on fresh seeds, with Student's interval over the seeds.",
    matters="The figure that a trial was selected by is the best of many, so part of it is luck (the winner's curse). What to"
    " expect of these settings is their mean on fresh seeds.",
)


def holds_on_fresh_seeds(run: Run) -> Check:
    """SEED01."""
    if run.winner is None or run.goal is None:
        return holds(
            status="not applicable", sentence="There is no winner: 0 trials used their budget."
        )
    n = len(run.fresh_seeds)
    if not n:
        sentence = f"Trial {run.winner.number} has been trained on 0 fresh seeds."
        return holds(
            status="not applicable", sentence=sentence, do=run.commands.resume("--confirm", "5")
        )
    reached = sum(run.goal.reached(one.last) for one in run.fresh_seeds)
    sentence = (
        f"Trial {run.winner.number} reaches {run.goal} on {reached} of {counted(n, 'fresh seed')}:"
        f" {percent(reached / n)} (95% interval {between(share_interval(reached, n))})."
    )
    if reached < n:
        do = run.commands.resume("--num-samples", str(run.half_as_many_again))
        return holds(status="issue", sentence=sentence, do=do)
    return holds(
        status="passed",
        sentence=sentence,
        do=run.commands.resume("--confirm", str(SEEDS)) if n < SEEDS else None,
    )


def flattered_by_selection(run: Run) -> Check:
    """SEED02."""
    if run.winner is None or run.objective is None or run.goal is None:
        return flattered(
            status="not applicable", sentence="There is no winner: 0 trials used their budget."
        )
    metric, selected, confirmed = selected_and_confirmed(run, run.objective, run.goal)
    n = len(confirmed)
    if selected is None or n < 2:
        sentence = f"Two fresh seeds with a figure of {metric} are needed; there {'is' if n == 1 else 'are'} {n}."
        return flattered(
            status="not applicable", sentence=sentence, do=run.commands.resume("--confirm", "5")
        )
    more_is_better = (
        run.objective.mode == "max" if metric == run.objective.metric else run.goal.at == "least"
    )
    better = 1 if more_is_better else -1
    low, high = sorted(better * (selected - end) for end in mean_interval(confirmed))
    flattery = better * (selected - mean(confirmed))
    sentence = (
        f"{metric} {amount(selected)} where trial {run.winner.number} was selected,"
        f" {amount(mean(confirmed))} on average over {n} fresh seeds: the search flattered it by {amount(flattery)}"
        f" (95% interval {amount(low)} to {amount(high)})."
    )
    return flattered(status="tip" if low > 0 else "passed", sentence=sentence)


def selected_and_confirmed(
    run: Run, objective: Objective, goal: Goal
) -> tuple[str, float | None, list[float]]:
    """What the winner and its fresh seeds are compared by, its figure where it was selected, and theirs."""
    metric = objective.metric if _measured_alike(run) else goal.metric
    selected = run.winner.last.get(metric) if run.winner else None
    confirmed = [
        float(one.last[metric]) for one in run.fresh_seeds if one.last.get(metric) is not None
    ]
    return metric, None if selected is None else float(selected), confirmed


def _measured_alike(run: Run) -> bool:
    """Whether fresh seeds are measured as the trials of the search are (those of some experiments have another judge)."""
    assert run.winner is not None
    mine = {name: value for name, value in run.winner.config.items() if name not in OWN_SETTINGS}
    return all(
        all(one.config.get(name) == value for name, value in mine.items())
        for one in run.fresh_seeds
    )
