"""A run's results for a paper, as Markdown and as LaTeX: a table (``paper_table``) and a paragraph
on the methods (``paper_search``, ``paper_evidence``).

Both are plain text until a template prints them; each format escapes every value that it prints.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from records.checks.check import no_winner
from records.run import Run
from reports import paper_evidence, paper_search
from reports.experiments.default import Page
from reports.paper_table import difference, table

LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
    **{one: f"\\{one}" for one in "{}_&%#$"},
}  # fmt: skip
"""What LaTeX takes for a command or prints as something else."""
MARKDOWN = re.compile(r"[\\`*<\[\]|~^$&@]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown takes for a mark. An underscore within a word is none."""


def latex(value: object) -> str:
    """A value as text that LaTeX prints as it is. The sign of a number is a minus sign."""
    escaped = "".join(LATEX.get(one, one) for one in on_one_line(value)).replace("--", "-{}-")
    return re.sub(r"(?<![\w.}-])-(?=\d)", "$-$", escaped)


def markdown(value: object) -> str:
    """A value as text that Markdown prints as it is, also in the cell of a table."""
    return MARKDOWN.sub(r"\\\g<0>", on_one_line(value))


def on_one_line(value: object) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in str(value)).split())


FILES: Mapping[str, Callable[[object], str]] = {"paper.md": markdown, "paper.tex": latex}
"""The files, which are also the names of their templates, and what escapes the values in each."""


def write_paper(run: Run, page: Page, folder: Path) -> list[str]:
    """Write ``FILES`` into the folder of the run's page; returns their names."""
    content = {
        "title": f"{page.title(run)}: {run.name}",
        "label": re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-"),
        "table": table(run, page),
        "without": no_winner(run),
        "difference": difference(run, page),
        "methods": methods(run, page),
    }
    for name, escape in FILES.items():
        templates = Environment(
            loader=PackageLoader("reports"),
            autoescape=False,  # no HTML: finalize escapes every value
            finalize=escape,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        text = templates.get_template(name).render(content)
        (folder / name).write_text(text, "utf-8", "replace")
    return list(FILES)


def methods(run: Run, page: Page) -> str:
    """The paragraph on the methods."""
    records = [record for _, record in run.directory.trials()]
    searched = [
        paper_search.space(run, page),
        paper_search.objective(run, page),
        paper_search.sampler(run, records),
        paper_search.starts(run, records),
        paper_search.several_seeds(run),
        paper_search.early_stopping(run, page),
    ]
    sentences = [
        *([paper_search.one_training(run, page)] if run.options.get("train") else searched),
        paper_search.budget(run),
        paper_search.outcomes(records),
        paper_search.end(run),
        paper_evidence.fresh_seeds(run),
        paper_evidence.race(run, page),
        paper_evidence.tests(run, page),
        paper_search.software(run),
    ]
    return " ".join(filter(None, sentences))
