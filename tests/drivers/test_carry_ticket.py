"""The driver that carries a ticket over to another network, on real data cut short."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from tests import sparse_models
from weight_symmetry import alignment, symmetry
from weight_symmetry.carry_ticket import CarryTicketConfig
from weight_symmetry.masks import Masks
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.errors import UsageError


@pytest.mark.slow
def test_it_trains_each_sparse_network(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    from weight_symmetry.carry_ticket.study import ARMS

    config = CarryTicketConfig(
        examples=300,
        batch_size=55,  # Whole batches: a short one would be traced beside them.
        epochs=2,
        num_trials=1,
        features=(8, 6),
        sparsities=(0.5,),
        rewind_epochs=(1,),
        execution="graph",
    )
    experiment.main(config, RunOptions(experiment_dir=str(tmp_path)))
    printed = capsys.readouterr().out
    (directory,) = tmp_path.glob("carry_ticket-*")
    assert (directory / "carry_ticket.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((directory / "results.json").read_text())["sparse"]
    assert list(found) == ["0.5, 1"] and "50%, epoch 1" in printed
    assert set(found["0.5, 1"]) == {"sparsity", "rewind_epoch", *ARMS}
    trained = {path.name.partition("-")[0]: path for path in directory.iterdir() if path.is_dir()}
    assert {*ARMS, "train"} <= set(trained)
    seeds = {}
    for arm in ARMS:
        run = json.loads((trained[arm] / "config.json").read_text())
        seeds[arm] = run["random_seed"]
        assert json.loads((trained[arm] / "mask_stats.json").read_text())["sparsity"] == pytest.approx(0.5, abs=1e-3)
        # Of one pair, the ensemble is the network.
        assert found["0.5, 1"][arm]["ensemble"] == pytest.approx(found["0.5, 1"][arm]["accuracy"]["mean"])
    assert seeds == dict.fromkeys(ARMS, 43) | {"ticket": 42}


class Held:
    """In the place of `TrainedNetworks`: a network that holds the values asked for."""

    def __init__(self, network: Any):
        self.network = network

    def holding(self, values: list[Any]) -> list[Any]:
        for variable, value in zip(self.network.variables, values, strict=True):
            variable.assign(value)
        return [self.network]


def test_a_carried_mask_fits_a_permuted_copy() -> None:
    """Under its carried mask a permuted copy computes what the network does under its own."""
    from weight_symmetry.carry_ticket.study import arms

    model = sparse_models.sparse("MNIST_FC", 0.0, seed=3)
    rng, images = np.random.default_rng(4), sparse_models.images("MNIST_FC")
    joint = {index: rng.permutation(layer.w.shape[-1]) for index, layer in enumerate(model.layers[:-1])}
    copy = symmetry.apply(joint, model, images, is_training=False)
    order = alignment.match(copy, model, images, is_training=False)
    config = CarryTicketConfig(features=(7, 6, 5), masked_layer_indices=(0, 1, 2))
    masks = arms(config, Held(model), [v.numpy() for v in model.variables], order, 0.5, 0)  # type: ignore[arg-type]
    assert [mask.sum() for mask in masks["random"]] == [mask.sum() for mask in masks["ticket"]]
    assert masks["ticket"][3].all() and masks["carried"][3].all()

    def outputs(of: Any, arm: str) -> Any:
        new = symmetry.apply({}, of, images, is_training=False)
        Masks(new).set(masks[arm])
        return new(images, is_training=False)

    wanted = outputs(model, "ticket")
    np.testing.assert_allclose(outputs(copy, "carried"), wanted, atol=1e-5)
    for arm in ("unpermuted", "shuffled", "random"):
        assert np.abs(outputs(copy, arm) - wanted).max() > 1e-2


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^rewind_epochs \(=\(0, 5\)\) must be below epochs \(=5\)"):
        CarryTicketConfig(epochs=5, rewind_epochs=(0, 5))
    with pytest.raises(UsageError, match=r"^sparsities \(=\(0\.5, 0\.5\)\) must name each once"):
        CarryTicketConfig(sparsities=(0.5, 0.5))
