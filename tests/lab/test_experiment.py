"""The common form of the experiments: a finished study is shown from its results, whatever has become of them."""

import pathlib

import pytest

from weirdonetworks.experiments.staged import StagedConfig
from weirdonetworks.experiments.topology import TopologyConfig
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions, StudyConfig
from weirdonetworks.lab.training.study import open_study

TOPOLOGY = TopologyConfig()


@pytest.mark.parametrize(
    ("config", "content"),
    [
        (TOPOLOGY, "{}"),
        (TOPOLOGY, '{"regulariser": "noise", "trained": 5}'),
        (TOPOLOGY, '{"regulariser": "early_stopping", "strength": "x"}'),
        (TOPOLOGY, "null"),
        (TOPOLOGY, '{"regulariser": '),
        (StagedConfig(), "{}"),
    ],
)
def test_results_of_another_shape_are_named(config: StudyConfig, content: str, tmp_path: pathlib.Path) -> None:
    options = RunOptions(experiment_dir=str(tmp_path))
    name = type(config).__module__.rpartition(".")[2]
    with open_study(name, config.resolved(), options) as study:
        study.finish({})
    (study.directory / "results.json").write_text(content)
    with pytest.raises(OSError, match=r"results\.json .*(Put it back, or pass --overwrite|Remove or mend it)"):
        experiment.main(config, options)
