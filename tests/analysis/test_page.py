"""The HTML report: all plots and runs, and no external resources."""

import base64
import html
import html.parser
import pathlib
import re

import pandas as pd
import pytest

from analysis import page, summaries
from tests.analysis import invented

PLOTS = [
    "accuracy-against-sparsity",
    "accuracy-against-symmetries",
    "symmetries-against-sparsity",
    "training-accuracy",
    "training-loss",
]
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}


class Reader(html.parser.HTMLParser):
    """Reads a page's elements, what they would load, and its tables' cells."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.images: dict[str, dict[str, str | None]] = {}
        self.loads: list[str] = []
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        if tag == "img":
            self.images[str(dict(attrs)["id"])] = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell and data.strip():
            self.rows[-1].append(data)
            self._cell = False


@pytest.mark.slow
def test_every_plot_is_on_the_page(rendered: str) -> None:
    images = Reader(rendered).images
    assert list(images) == PLOTS
    for image in images.values():
        png = base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,"), validate=True)
        assert png.startswith(b"\x89PNG")
        width, height = (int.from_bytes(png[start : start + 4]) for start in (16, 20))
        # Two dots for each pixel of the page.
        assert width == pytest.approx(2 * int(str(image["width"])), abs=2)
        assert height == pytest.approx(2 * int(str(image["height"])), abs=2)
        assert str(image["alt"]).startswith("Plot: ")


def test_the_page_loads_nothing(rendered: str) -> None:
    reader = Reader(rendered)
    assert all(load.startswith("data:") for load in reader.loads)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(reader.tags)
    without_pictures = re.sub(r"base64,[\w+/=]+", "", rendered)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\son\w+=", without_pictures)
    assert "prefers-color-scheme: dark" in rendered


def test_the_tables_hold_every_mean_and_every_run(rendered: str, frame: pd.DataFrame) -> None:
    rows = Reader(rendered).rows
    found = summaries.statistics(frame)
    assert len(rows) == 1 + len(found) + 1 + len(frame)
    mean, deviation = (100 * found.loc[("random", 0.9), ("accuracy", key)] for key in ("mean", "std"))
    row = next(row for row in rows if row[:2] == ["random", "90%"])
    assert row[2:4] == ["3", f"{mean:.2f} ± {deviation:.2f}"]
    assert {row[0] for row in rows[-len(frame) :]} == set(frame.index)
    run = next(row for row in rows if row[0] == frame.index[0])
    assert f"{100 * summaries.accuracy(frame).iloc[0]:.2f}" in run


def test_texts_are_escaped(rendered: str) -> None:
    assert "&lt;i&gt;runs&lt;/i&gt; &amp; more" in rendered
    frame = pd.DataFrame(
        {"mask_type": ["<script>1</script>"] * 2, "model": ['"><img src=x>', "b"], "file": ["s.json"] * 2},
        index=["<script>alert(1)</script>", "b"],
    )
    frame.attrs["skipped"] = ["<b>left</b>"]
    text = page.render(frame, "title")
    reader = Reader(text)
    assert {"script", "b"}.isdisjoint(reader.tags)
    assert list(reader.images) == PLOTS
    assert html.escape("<script>alert(1)</script>") in text
    assert html.escape("<b>left</b>") in text


def test_texts_of_records_are_no_formulas() -> None:
    frame = pd.DataFrame(
        {
            "mask_type": ["x$\\frac{$", "a$b$_{"],
            "model": ["$", "$$"],
            "mask/sparsity": [0.5, 0.9],
            "mask/permutation_log10": [3.0, 1.0],
            "final/test_accuracy": [0.9, 0.8],
            "file": ["s$\\a$.json"] * 2,
        },
        index=["r$^$1", "r$^$2"],
    )
    text = page.render(frame, "t$a$_{ \\frac")
    assert list(Reader(text).images) == PLOTS and "x$\\frac{$" in text


@pytest.mark.slow
def test_equal_runs_give_equal_pages(frame: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    few = frame.iloc[:4]
    for name in ("a", "b"):
        page.write(few, tmp_path / name, "title")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]  # nothing beside them


def test_a_failed_page_leaves_the_old_one(frame: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = frame.iloc[:2].drop(columns="file")
    with pytest.raises(KeyError):
        page.write(broken, path, "title")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_columns_of_nothing_are_left_out() -> None:
    frame = pd.DataFrame({"driver": ["train", "prune"], "final/test_accuracy": [0.98, None]}, index=["a", "b"])
    assert list(page.means(frame)) == ["masks", "sparsity", "runs", "test accuracy (%)"]
    assert page.means(frame).to_numpy().tolist() == [
        ["magnitude pruning", "-", 1, "-"],
        ["dense", "0%", 1, "98.00"],
    ]
    assert list(page.runs(frame)) == ["run", "masks", "sparsity", "test accuracy (%)"]
    assert page.runs(frame)["run"].tolist() == ["b", "a"]


def test_the_names_of_masks_come_in_the_order_of_the_plots(frame: pd.DataFrame) -> None:
    assert list(dict.fromkeys(page.runs(frame)["masks"])) == [*invented.MASK_TYPES, "magnitude pruning", "dense"]
