"""What an expert would say of a run, computed: checks with stable codes.

Each check answers with numbers, an interval and what to do. An issue asks for an action; a tip may
be worth a command. Checks read a run directory, which may be cut off or half finished, and start
nothing. They import neither Ray nor torch: the console's verdict and the report both use them.
"""

from collections.abc import Callable

from records.checks.ablation import ablation
from records.checks.check import Check
from records.checks.early_stopping import early_stopping_cost
from records.checks.edges import best_trials_at_an_edge
from records.checks.failures import failed_trials
from records.checks.fresh_seeds import flattered_by_selection, holds_on_fresh_seeds
from records.checks.more_trials import has_the_sampler_learned
from records.checks.seed_variance import seeds_beside_settings
from records.checks.untried import rarely_tried_choices
from records.checks.what_mattered import importances, importances_at_rungs
from records.run import Run

CHECKS: dict[str, Callable[[Run], Check]] = {
    "SEED01": holds_on_fresh_seeds,
    "SEED02": flattered_by_selection,
    "SEED03": seeds_beside_settings,
    "EDGE02": best_trials_at_an_edge,
    "MORE01": has_the_sampler_learned,
    "SPACE03": rarely_tried_choices,
    "WHAT01": importances,
    "WHAT02": importances_at_rungs,
    "PATH01": ablation,
    "STOP01": early_stopping_cost,
    "FAIL01": failed_trials,
}
"""Every check by its code, in the order in which they are shown."""


def run_checks(run: Run) -> list[Check]:
    """Every check of the run, in the order of ``CHECKS``.

    A check that breaks, on damaged files or by its own defect, says so and stops no other.
    """
    answers = []
    for code, check in CHECKS.items():
        try:
            answers.append(check(run))
        except Exception as error:
            sentence = f"This check broke on this run ({type(error).__name__}: {error})."
            answers.append(Check(code, "not applicable", sentence, detected="", matters=""))
    return answers
