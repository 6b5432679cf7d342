"""What is particular to an experiment's page. The file of an experiment's name here has a class
``Page``; any other experiment has the page of ``default``."""

import importlib
from importlib.util import find_spec

from records.run import Run
from reports.experiments.default import Page


def page_of(run: Run) -> Page:
    """The page of the run's experiment: its own, from the file of that name in this folder, or the default one."""
    name = f"{__name__}.{run.experiment}"
    module = (
        importlib.import_module(name) if run.experiment.isidentifier() and find_spec(name) else None
    )
    page: type[Page] = getattr(module, "Page", Page)
    return page()
