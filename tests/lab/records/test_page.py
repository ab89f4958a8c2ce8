"""The page shows its sections in their order, every text escaped."""

import base64
import re

from matplotlib.figure import Figure

from weirdonetworks.lab.records import page


def line(height: float) -> Figure:
    figure = Figure(figsize=(2, height))
    figure.subplots().plot([0, 1])
    return figure


def test_sections_come_in_their_order_and_hold_what_they_are_given() -> None:
    drawn = page.picture(line(1.5), "a-line", "A line", "It rises.")
    table = page.Table("Numbers", "Two of them.", ["name", "value"], [["one", 1], ["two", 2.5]], is_long=True)
    text = page.render("Title", {"runs": "3"}, [table, drawn], ["left: why"])
    order = ["<h1>Title", "<dt>runs</dt><dd>3</dd>", "1 left out", "<li>left: why", "<h2>Numbers", "Two of them."]
    order += [
        "<th",
        "<td>one</td><td>1</td>",
        "<td>two</td><td>2.5</td>",
        "<h2>A line",
        "It rises.",
        '<img id="a-line"',
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert 'class="wide tall"' in text and 'width="192" height="144"' in text
    assert base64.b64decode(drawn.data).startswith(b"\x89PNG")
    assert (
        page.picture(line(1.5), "a-line", "A line", "It rises.") == drawn != page.picture(line(1), "a-line", "A line")
    )


def test_every_text_is_escaped_and_nothing_is_loaded() -> None:
    bad = "<script>1</script>"
    drawn = page.Picture(bad, bad, bad, 1, 1, "")
    text = page.render(bad, {bad: bad}, [drawn, page.Table(bad, bad, [bad], [[bad]])], [bad])
    assert "<script" not in text and text.count("&lt;script&gt;1") == 13
    assert not re.search(r"https?:|@import|url\(", text)


def test_empty_parts_leave_no_marks() -> None:
    text = page.render("Title", {}, [page.Table("Empty", "", ["a"], [])])
    assert "left out" not in text and "<p>" not in text and "tall" not in text.partition("<body>")[2]
