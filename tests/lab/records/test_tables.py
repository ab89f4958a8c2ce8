"""Tables line up."""

from hypothesis import given, strategies as st

from weirdonetworks.lab.records.tables import table

cells = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


def test_a_table() -> None:
    assert table(["run", "accuracy"], [["a", "98.1%"], ["longest", "7%"]]).splitlines() == [
        "run      accuracy",
        "a           98.1%",
        "longest        7%",
    ]


@given(st.integers(1, 5), st.data())
def test_columns_line_up(columns: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1, max_size=5))
    lines = table(rows[0], rows[1:]).splitlines()
    assert [line.split() for line in lines] == rows
    if columns > 1:
        assert len({len(line) for line in lines}) == 1
    else:
        assert lines == [row[0] for row in rows]
