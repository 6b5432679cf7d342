"""A run's page as one file that can be mailed: its scripts, figures and pictures are inside.

The pages of the trials, the tables and the weights are left out. The page's policy names each
script by its checksum, so that nothing else can run.
"""

import base64
import hashlib
import mimetypes
from collections.abc import Iterable
from pathlib import Path


class SingleFile:
    """What a page's templates put into it, from the folder of the page as it was written.

    Args:
        site: The folder of the report, which has the scripts of every page.
        folder: The folder of the run's page.
        figures: The files of the page's figures, without their ending.
    """

    def __init__(self, site: Path, folder: Path, figures: Iterable[str]) -> None:
        self._folder = folder
        files = [site / "plotly.min.js", site / "report.js"]
        files += [folder / f"{figure}.js" for figure in figures]
        self._scripts = [_closed(file.read_text("utf-8")) for file in files]

    def source(self, file: str) -> str:
        """A picture as an address that holds it."""
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        content = base64.b64encode((self._folder / file).read_bytes()).decode()
        return f"data:{kind};base64,{content}"

    @property
    def policy(self) -> str:
        """The sources of scripts that the page allows."""
        digests = (hashlib.sha256(script.encode()).digest() for script in self._scripts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    @property
    def scripts(self) -> str:
        """The scripts' elements, in the order in which they must run."""
        return "\n".join(f"<script>{script}</script>" for script in self._scripts)


def _closed(script: str) -> str:
    """The script without words that would end its element: in JavaScript, ``<\\/`` is ``</``."""
    return script.replace("</script", r"<\/script").replace("\r\n", "\n")
