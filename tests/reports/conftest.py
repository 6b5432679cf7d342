"""A run's page, built in the tests' own process."""

from pathlib import Path

from records.run import Run
from reports.figures.style import apply
from reports.pages import Site


def build(path: Path, folder: Path) -> str:
    """The run's page: a process for it would load torch and pandas anew."""
    apply()
    Site([Run.open(path)], [], folder / "site").write(lambda name: None)
    return (folder / "site" / path.name / "index.html").read_text()
