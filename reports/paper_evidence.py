"""What the results rest on, for a paper's paragraph on the methods: the fresh seeds, how finalists
were dropped, and the tests. A sentence is empty if the run does not have what it tells."""

from records.checks.check import counted
from records.run import Run
from records.search_json import TO_AN_END
from records.versus_baseline import MISSED, versus_baseline
from reports.experiments.default import Page
from reports.paper_search import last_session, listed
from reports.paper_table import goal_words, level


def fresh_seeds(run: Run) -> str:
    """Which settings were trained on which fresh seeds."""
    trained = [run.on_fresh_seeds[one.number] for one in run.finalists]
    seeds = sorted(set().union(*trained))
    if not seeds:
        none = "No settings were trained on seeds that the search had not used."
        return "" if run.options.get("train") else none
    known = sum("baseline" in one.config for one in run.finalists)
    count = len(trained) - known
    done = (
        "reached the target"
        if run.options.get("target")
        else "done best in the search of those that are no baselines"
    )
    others = [f"of {counted(count, 'finalist')}, which had {done}"] * (count > 0)
    best = ["of the best baseline" if known == 1 else f"of {known} baselines"] * (known > 0)
    who = f"After the search, the settings {', and '.join(others + best)}, were"
    if run.options.get("train"):
        who = "These settings were"
    least, most = (f(map(len, trained)) for f in (min, max))
    each = counted(most, "fresh seed") if least == most else f"{least} to {most} fresh seeds"
    span = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    return f"{who} trained again on {each} ({span}), which no trial had had before."


def race(run: Run, page: Page) -> str:
    """How finalists were dropped, and how the best settings were chosen among them."""
    trained = {one.number: len(run.on_fresh_seeds[one.number]) for one in run.finalists}
    if len(trained) < 2 or last_session(run).get("how") not in TO_AN_END:
        return ""
    chosen = (
        "The best settings are those that reach the goal on most fresh seeds and, among several,"
        f" have the best mean of {page.axis(run, run.metric).title}."
    )
    how, most = run.search.get("methods", {}).get("race"), max(trained.values())
    dropped = [
        f"trial {one.number} after {counted(trained[one.number], 'seed')}"
        for one in run.finalists
        if trained[one.number] < most and "baseline" not in one.config
    ]
    which = f"Dropped were: {listed(dropped)}." if dropped else "No finalist was dropped."
    reached = last_session(run)["how"] == "target reached"  # nothing is dropped then
    if how is None or reached or most <= how["first_seeds"]:
        return chosen
    return (
        f"After {how['first_seeds']} of these seeds, and again after every {how['more_seeds']}"
        " more, a finalist was dropped if it was worse than the leading one by Student's one-sided"
        f" paired test at {100 * how['level']:g}%, or if it failed on two seeds on which the"
        f" leading one did not; a baseline was never dropped. {which} {chosen}"
    )


def tests(run: Run, page: Page) -> str:
    """The intervals and the comparison with the best baseline."""
    if not run.finalists:
        return ""
    words = (
        f"A seed reaches the goal if its {goal_words(run, page)}. Fractions of seeds have Clopper"
        " and Pearson's 95% interval, and means of two or more different values have Student's, of"
        " which an end is moved out to that for skewed values (Hall 1992) if this lies farther."
    )
    found = versus_baseline(run)
    if found is None or not found.seeds:
        return words
    why = [f"the best of {found.compared} finalists was chosen on the same seeds"]
    why = why * (found.compared > 1)
    why += [f"seeds were added after {counted(found.looks - 1, 'answer')}"] * (found.looks > 1)
    corrected = ""
    if why:
        corrected = f", since {' and '.join(why)} (Bonferroni: 1 - {MISSED:g} / {found.shares})"
    how = (
        "by Student's interval for the mean difference, seed by seed (only its end away from zero"
        " is moved out likewise), with a confidence of"
    )
    if found.interval is None:
        how = (
            "by the signs of the differences, seed by seed, since these are all equal or some have"
            " no value (sign test, two-sided), with a confidence of"
        )
    return (
        f"{words} In {page.axis(run, found.metric).title}, trial {found.best.number} is compared"
        f" with the best baseline (trial {found.baseline.number}) {how}"
        f" {level(found.confidence)}{corrected}."
    )
