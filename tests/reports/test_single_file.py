"""One file with everything in it. Chromium opens such a file in tests/browser/test_report.py."""

import base64
import hashlib
import re
from pathlib import Path

from tests.conftest import run
from tests.reports.conftest import four, invented, scores


def test_a_page_in_one_file_loads_nothing_and_allows_only_its_own_scripts(tmp_path: Path) -> None:
    path = invented(tmp_path / "<b> & run", four(), fresh_seeds=[scores(0.9), scores(0.8)])
    result = run("reports/build.py", path, "--output", "site", "--single-file", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (file,) = (tmp_path / "site").glob("*/*-single.html")
    page = file.read_text("utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    marks = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', marks)
    assert marks.count('src="data:image/png;base64,') >= 2
    allowed = re.search(r"script-src ([^;]*);", page)
    assert allowed
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert allowed[1].split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(scripts) > 4  # plotly, the page's own, and its figures
    whole = (file.parent / "index.html").read_text("utf-8")
    assert "script-src 'self';" in whole
