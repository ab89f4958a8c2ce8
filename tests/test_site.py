"""The built site: headings, pictures and links of every page, and its width in a browser.

sphinx-build -W docs SITE && WEIRDONETWORKS_SITE=SITE python -m pytest tests/test_site.py
"""

import dataclasses
import functools
import html
import html.parser
import http.server
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

BUILT = os.environ.get("WEIRDONETWORKS_SITE")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_site = pytest.mark.skipif(not BUILT, reason="WEIRDONETWORKS_SITE names no folder with a built site.")
SCRIPTED = {"search.html", "genindex.html"}  # Their content is no page of ours.
WIDTHS = (360, 1280)  # Pixels, of a phone and of a desktop.
# A frame can be narrower than the least window of the browser.
FRAMES = """<!doctype html><pre id="measured"></pre><script>
const found = {}, pages = PAGES;
async function measure(page, width) {
  const frame = document.createElement("iframe");
  frame.style.width = width + "px";
  frame.style.height = "800px";
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; frame.src = page; });
  const inner = frame.contentDocument, root = inner.documentElement;
  for (const image of inner.images) image.loading = "eager";
  await Promise.all([...inner.images].map(image => image.decode().catch(() => 0)));
  found[page + " " + width] = {
    width: root.clientWidth, content: root.scrollWidth,
    broken: [...inner.images].filter(image => !image.naturalWidth).map(image => image.src),
  };
  frame.remove();
}
(async () => {
  for (const page of pages) for (const width of WIDTHS) await measure(page, width);
  await fetch("/measured", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


@dataclasses.dataclass
class Page(html.parser.HTMLParser):
    """What a page holds: ids, links, pictures with their texts, and the levels of the headings in its text."""

    path: pathlib.Path

    def __post_init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[tuple[str, str]] = []
        self.headings: list[int] = []
        self._in_article = False
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self._in_article |= tag == "article"
        if "id" in named:
            self.ids.add(named["id"])
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if tag == "img":
            self.pictures.append((named.get("src", ""), named.get("alt", "")))
        if self._in_article and re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        self._in_article &= tag != "article"


def read(site: pathlib.Path) -> dict[pathlib.Path, Page]:
    """Reads the pages of a site."""
    paths = (path for path in site.rglob("*.html") if path.name not in SCRIPTED and "_static" not in path.parts)
    return {path: Page(path.resolve()) for path in sorted(paths)}


def faults(site: pathlib.Path) -> Iterator[str]:
    """Names what is wrong with the pages of a site, by page."""
    pages = {page.path: page for page in read(site).values()}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        if not page.headings or page.headings[0] != 1 or page.headings.count(1) != 1:
            yield f"{name}: has headings {page.headings}, but must have one h1, the first"
        for above, below in itertools.pairwise(page.headings):
            if below > above + 1:
                yield f"{name}: h{below} follows h{above}"
        for source, alternative in page.pictures:
            file = path.parent / urllib.parse.unquote(urllib.parse.urlsplit(source).path)
            if not source.startswith("data:") and not file.is_file():
                yield f"{name}: there is no picture {source}"
            if not alternative or re.search(r"\.(png|svg)$", alternative):
                yield f"{name}: picture {source[:60]} has no text in its place"
        for link in page.links:
            address = urllib.parse.urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(address.path)).resolve() if address.path else path
            if not target.is_file():
                yield f"{name}: link to {link}, which is not there"
            elif target in pages and urllib.parse.unquote(address.fragment) not in {"", *pages[target].ids}:
                yield f"{name}: link to {link}, which has no such place"


def test_faults_of_a_page_are_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "good.html").write_text('<article><h1 id="a">A</h1><h2>B</h2><a href="#a"></a></article>')
    assert list(faults(tmp_path)) == []
    (tmp_path / "bad.html").write_text(
        '<article><h1>A</h1><h3>B</h3><img src="no.png"><a href="good.html#b"></a><a href="no.html"></a></article>'
        '<a href="https://example.org/no.html"></a>'
    )
    assert list(faults(tmp_path)) == [
        "bad.html: h3 follows h1",
        "bad.html: there is no picture no.png",
        "bad.html: picture no.png has no text in its place",
        "bad.html: link to good.html#b, which has no such place",
        "bad.html: link to no.html, which is not there",
    ]


@needs_site
@pytest.mark.slow
def test_headings_pictures_and_links_of_every_page() -> None:
    site = pathlib.Path(str(BUILT))
    assert len(read(site)) > 30
    found = list(faults(site))
    assert not found, "\n".join(found)


@needs_site
@pytest.mark.slow
def test_the_reference_names_the_arguments_of_modules_and_their_methods() -> None:
    text = {path.stem: plain(path) for path in (pathlib.Path(str(BUILT)) / "reference" / "api").glob("*.html")}
    assert "EquivariantLinear(action_in, action_out=None, channels=1" in text["weirdonetworks"]
    assert "features(inputs)" in text["weirdonetworks"]  # A method that Sonnet wraps in a name scope.
    assert "Layer(module" in text["weirdonetworks.keras"]
    assert "batch_size=4096, dtype=tf.float32)" in text["weirdonetworks.measure"]
    hidden = {name for name, page in text.items() if "(*args, **kwargs)" in page and name != "weight_symmetry.updaters"}
    assert not hidden
    assert not [name for name, page in text.items() if "_typing._array_like" in page or r"\*" in page]


def plain(path: pathlib.Path) -> str:
    """Reads a page as text, without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8")))


@needs_site
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no page can be rendered.")
def test_no_page_scrolls_sideways_and_every_picture_loads(tmp_path: pathlib.Path) -> None:
    site = pathlib.Path(str(BUILT)).resolve()
    pages = ["/" + path.relative_to(site).as_posix() for path in read(site) if "_modules" not in path.parts]
    seen = rendered(site, pages, tmp_path)
    assert len(seen) == len(pages) * len(WIDTHS)
    assert not [each for each in seen.items() if each[1]["content"] > each[1]["width"] or each[1]["broken"]]


def rendered(site: pathlib.Path, pages: list[str], profile: pathlib.Path) -> dict[str, dict[str, int | list[str]]]:
    """Measures pages in a browser at each width: that of the window and of its content, and pictures not loaded."""
    frames = FRAMES.replace("PAGES", json.dumps(pages)).replace("WIDTHS", json.dumps(WIDTHS)).encode()
    measured: list[bytes] = []
    done = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/frames":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(frames)

        def do_POST(self) -> None:
            measured.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/frames"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        options += ["--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        browser = subprocess.Popen([str(CHROMIUM), *options, address], stderr=subprocess.DEVNULL)
        try:
            assert done.wait(240), "the browser measured nothing within four minutes."
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    return json.loads(measured[0])
