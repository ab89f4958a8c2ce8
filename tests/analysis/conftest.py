"""Fixtures: a synthetic experiment, written and loaded once."""

import pathlib

import pandas as pd
import pytest

from analysis import page, summaries
from tests.analysis import invented


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of an experiment of every kind of mask at five sparsities, three trials each."""
    folder = tmp_path_factory.mktemp("experiment") / "runs"
    invented.experiment(folder)
    return folder


@pytest.fixture
def frame(experiment: pathlib.Path) -> pd.DataFrame:
    """The table of its runs."""
    return summaries.load(experiment)


@pytest.fixture(scope="session")
def rendered(experiment: pathlib.Path) -> str:
    """The report on them."""
    return page.render(summaries.load(experiment), "<i>runs</i> & more")
