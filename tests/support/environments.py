"""Python environments that have some of this one's packages and nothing else, made in a second.

Packages are not copied: an environment has links to those of this one.
"""

import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

NODE = ("ray[default,tune]", "torch")
"""What every node of a cluster has."""


def environment(folder: Path, *requirements: str) -> Path:
    """Make an environment with the requirements and what these need; returns its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for found in _needed(requirements):
        for file in found.files or ():
            top = file.parts[0]
            link, place = packages / top, Path(str(found.locate_file(top)))
            if top not in ("..", "__pycache__") and not link.is_symlink():
                link.symlink_to(place.resolve())
    return folder / "bin" / "python"


def _needed(requirements: tuple[str, ...]) -> list[Distribution]:
    """The installed distributions that the requirements need, with all that these need."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    asked = [*map(Requirement, requirements)]
    while asked:
        one = asked.pop()
        key = one.name.lower().replace("_", "-"), frozenset(one.extras)
        if key in found:
            continue
        try:
            found[key] = distribution(one.name)
        except PackageNotFoundError:  # for another system
            continue
        extras = [{"extra": extra} for extra in ("", *one.extras)]
        for more in map(Requirement, found[key].requires or ()):
            if more.marker is None or any(map(more.marker.evaluate, extras)):
                asked.append(more)
    return [*found.values()]
