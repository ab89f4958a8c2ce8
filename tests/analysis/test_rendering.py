"""The layout of the HTML report in a browser."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.analysis.test_page import PLOTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# Written into a copy of the page, whose own text holds no script.
MEASURE = """<pre id="measured"></pre><script>
addEventListener("load", () => {
  const sizes = {};
  for (const image of document.images) {
    const box = image.getBoundingClientRect();
    sizes[image.id] = [image.complete ? image.naturalWidth : 0, image.naturalHeight, box.width, box.height];
  }
  const root = document.documentElement;
  const style = getComputedStyle(document.body);
  document.getElementById("measured").textContent = JSON.stringify({
    images: sizes, width: root.clientWidth, content: root.scrollWidth,
    rows: document.querySelectorAll("tbody tr").length,
    ink: style.color, paper: style.backgroundColor,
  });
});
</script></body>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no page can be rendered.")


@pytest.fixture(scope="module")
def measured(rendered: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The report with a script that records its layout."""
    path = tmp_path_factory.mktemp("rendering") / "report.html"
    assert rendered.count("</body>") == 1
    path.write_text(rendered.replace("</body>", MEASURE), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (500, True)])
def test_every_plot_is_seen(width: int, dark: bool, measured: pathlib.Path, tmp_path: pathlib.Path) -> None:
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    window = [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [str(CHROMIUM), *OPTIONS, *scheme, *window, "--dump-dom", measured.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout)
    assert found, done.stdout[-500:]
    seen = json.loads(found[1])
    assert list(seen["images"]) == PLOTS
    for natural_width, natural_height, shown_width, shown_height in seen["images"].values():
        assert min(natural_width, natural_height) > 200
        assert shown_width > 400
        assert shown_height > 100
        assert shown_width / shown_height == pytest.approx(natural_width / natural_height, rel=0.02)
    assert seen["content"] <= seen["width"]  # the page itself never scrolls sideways
    assert seen["rows"] > 26
    ink, paper = (sum(map(int, re.findall(r"\d+", seen[key])[:3])) for key in ("ink", "paper"))
    assert (ink > paper) == dark
