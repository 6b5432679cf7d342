"""A run's page, built in the tests' own process, without the files of its pictures if they do not
matter."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from records.run import Run
from reports.figures.style import apply
from reports.pages import Site


def build(*paths: Path, to: Path) -> Path:
    """Build the site of these runs in the folder ``to``; returns its index.

    A process for it would load torch and pandas anew.
    """
    apply()
    return Site([Run.open(path) for path in paths], [], to).write(lambda name: None)


def page_of_run(path: Path, folder: Path) -> str:
    """The page of a run whose site is built in ``folder``/site."""
    build(path, to=folder / "site")
    return (folder / "site" / path.name / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Pictures are drawn and not written, which takes most of a build's time.

    Returns the names of pictures that are written nevertheless, for a test to add to.
    """
    written, save = set[str](), Figure.savefig

    def savefig(figure: Figure, file: Path, **options: Any) -> None:
        if file.stem in written:
            save(figure, file, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return written
