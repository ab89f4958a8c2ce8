"""What tests of training share."""

import pytest

from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training.trainer import Resident


@pytest.fixture(scope="module")
def splits(digits: Dataset) -> dict[str, Resident]:
    return digits.residents
