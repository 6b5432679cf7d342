"""What is particular to an experiment's page. The file of an experiment's name here has a class
``Page``; any other experiment has the page of ``default``."""

import importlib
from importlib.util import find_spec

from records.run import Run
from reports.experiments.default import Page


def page_of(run: Run) -> Page:
    """The page of the run's experiment if it has one that suits the run, else the default one."""
    name = f"{__name__}.{run.experiment}"
    found = run.experiment.isidentifier() and find_spec(name)
    page: Page = getattr(importlib.import_module(name), "Page", Page)() if found else Page()
    return page if page.suits(run) else Page()
