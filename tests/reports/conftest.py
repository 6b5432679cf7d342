"""A run's page, built in the tests' own process."""

from pathlib import Path

from reports.pages import Site
from reports.run import Run
from reports.style import apply


def build(path: Path, folder: Path) -> str:
    """The run's page: a process for it would load torch and pandas anew."""
    apply()
    Site([Run.open(path)], [], folder / "site").write(lambda name: None)
    return (folder / "site" / path.name / "index.html").read_text()
