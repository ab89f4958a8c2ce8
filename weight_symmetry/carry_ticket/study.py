"""Steps of the driver `carry_ticket`: train, prune, match, train the sparse networks, draw, table."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from weight_symmetry import alignment
from weight_symmetry.carry_ticket import CarryTicketConfig
from weight_symmetry.masks import Mask, Masks
from weight_symmetry.run.trained import NetworkTrial, Start, TrainedNetworks, Values, pruned
from weight_symmetry.updaters.tickets import permuted_masks
from weirdonetworks.lab import plots, seeds
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.records import tables
from weirdonetworks.lab.training.state import assign
from weirdonetworks.lab.training.study import Study, percent, spread
from weirdonetworks.measure.unit_graph import UnitGraph

# The sparse networks of a pair, and what they are called in the plot.
ARMS = {
    "ticket": "ticket itself",
    "carried": "mask carried over by alignment",
    "unpermuted": "mask as it is",
    "shuffled": "mask permuted at random",
    "random": "random mask",
}


def run(study: Study[CarryTicketConfig]) -> None:
    """Trains the pairs and their sparse networks, and measures accuracies, of each and of ensembles."""
    config, data = study.config, study.load()
    trained = TrainedNetworks(config, study.options, study.directory, data)
    dense = trained.train(range(2 * config.num_trials), config.rewind_epochs)
    pairs = list(zip(dense[::2], dense[1::2], strict=True))
    orders = [matched(config, trained, data, a.values, b.values) for a, b in pairs]
    found: dict[str, Any] = {}
    for sparsity, epoch in itertools.product(config.sparsities, config.rewind_epochs):
        sparse: dict[str, list[NetworkTrial]] = {arm: [] for arm in ARMS}
        starts, numbers = [], []
        for number, ((a, b), order) in enumerate(zip(pairs, orders, strict=True)):
            masks = arms(config, trained, a.values, order, sparsity, number)
            for arm in ARMS:
                begins = a if arm == "ticket" else b
                entry: dict[str, Any] = {"sparsity": sparsity, "rewind_epoch": epoch}
                entry |= {"method": config.method, "match_images": config.match_images} if arm == "carried" else {}
                starts.append(Start(arm, entry, begins.early[epoch], masks[arm]))
                numbers.append(2 * number + (arm != "ticket"))
        for start, trial in zip(starts, trained.train(numbers, starts=starts), strict=True):
            sparse[start.name].append(trial)
        found[f"{sparsity:g}, {epoch}"] = {
            "sparsity": sparsity,
            "rewind_epoch": epoch,
            **{arm: measured(trained, data, each) for arm, each in sparse.items()},
        }
    accuracies = spread([trial.records[-1]["test_accuracy"] for trial in dense])
    similarities = spread([order.similarity for order in orders])
    study.finish({"dense": accuracies, "similarity": similarities, "sparse": found}, draw)


def matched(
    config: CarryTicketConfig, trained: TrainedNetworks, data: Dataset, a: Values, b: Values
) -> alignment.Permutations:
    """Finds the permutation of the units of A that makes it fit B."""
    images = data.standardisation(data.train.images[: config.match_images]).numpy()
    network_b, network_a = trained.holding(b, a)
    return alignment.match(
        network_b,
        network_a,
        images[:500],
        method=config.method,
        data=[images],
        seed=config.random_seed,
        is_training=False,
    )


def arms(
    config: CarryTicketConfig,
    trained: TrainedNetworks,
    a: Values,
    order: alignment.Permutations,
    sparsity: float,
    number: int,
) -> Mapping[str, Sequence[Mask]]:
    """Makes the masks of all sparse networks of a pair, from the weights of A."""
    (network,) = trained.holding(a)
    masks, own = Masks(network), pruned(network, config, sparsity)
    graph = UnitGraph.trace(network, *order.example_inputs, **order.options)
    rng = seeds.generator(config.random_seed, "permuted_mask", number)
    random = {space.name: rng.permutation(space.size) for space in graph.free}
    drawn = [seeds.generator(config.random_seed, "random_mask", number, layer) for layer in range(len(own))]
    return {
        "ticket": own,
        "carried": permuted_masks(masks, own, order.named(graph), graph),
        "unpermuted": own,
        "shuffled": permuted_masks(masks, own, random, graph),
        "random": [each.permutation(mask.ravel()).reshape(mask.shape) for each, mask in zip(drawn, own, strict=True)],
    }


def measured(trained: TrainedNetworks, data: Dataset, trials: Sequence[NetworkTrial]) -> dict[str, Any]:
    """Measures the accuracy of networks, after the first masking and at the end, and of the mean of their outputs."""
    return {
        "accuracy": spread([trial.records[-1]["test_accuracy"] for trial in trials]),
        "at_start": spread([trial.records[0]["masked_test_accuracy"] for trial in trials]),
        "ensemble": ensemble(trained, data, [trial.values for trial in trials]),
    }


def ensemble(trained: TrainedNetworks, data: Dataset, networks: Sequence[Values], batch: int = 1000) -> float:
    """Computes the test accuracy of the mean of the networks' probabilities."""
    (network,) = trained.holding(networks[0])
    probabilities = tf.function(lambda images: tf.nn.softmax(network(data.standardisation(images), is_training=False)))
    total = np.zeros((len(data.test), len(data.classes)))
    for values in networks:
        assign(network.variables, values)
        for start in range(0, len(data.test), batch):
            part = slice(start, start + batch)
            total[part] += probabilities(tf.constant(data.test.images[part])).numpy()
    return float(np.mean(total.argmax(axis=1) == data.test.labels))


def draw(found: Any) -> plots.Figure:
    """Draws the accuracy against the rewinding epoch, a panel for each sparsity; of one epoch, against the sparsity."""
    measured = found["sparse"].values()
    by_epoch = len({each["rewind_epoch"] for each in measured}) > 1
    of_panel, along = ("sparsity", "rewind_epoch") if by_epoch else ("rewind_epoch", "sparsity")
    shown = sorted({each[of_panel] for each in measured})
    figure, panels = plots.pairs(len(shown), height=3.2)
    for axes, value in zip(panels, shown, strict=True):
        chosen = sorted((each for each in measured if each[of_panel] == value), key=lambda each: each[along])
        places = [each[along] if by_epoch else 100 * each[along] for each in chosen]
        step = 0.015 * (places[-1] - places[0])
        for index, (arm, label) in enumerate(ARMS.items()):
            aside = [place + (index - len(ARMS) // 2) * step for place in places]  # Bars side by side can be read.
            plots.error_bars(axes, aside, [each[arm]["accuracy"] for each in chosen], marker=".", label=label)
        axes.axhline(100 * found["dense"]["mean"], color="0.6", linestyle=":", label="dense network")
        title = f"sparsity {100 * value:g}%" if by_epoch else f"weights after {tables.counted(value, 'epoch')}"
        xlabel = "epochs before the weights are taken" if by_epoch else "sparsity (%)"
        axes.set(title=title, xlabel=xlabel, ylabel="test accuracy (%)")
        plots.label_ticks(axes, places)
    plots.legend(panels[0])
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the accuracies, and those of the ensembles, as tables."""
    yield f"dense: {percent(found['dense'])}; cosine of A, permuted, and B: {found['similarity']['mean']:.3f}"
    for title, cell in (
        ("test accuracy", lambda each: percent(each["accuracy"])),
        ("before training", lambda each: percent(each["at_start"])),
        ("all pairs together", lambda each: f"{each['ensemble']:.2%}"),
    ):
        rows = [
            [f"{each['sparsity']:.0%}, epoch {each['rewind_epoch']}", *(cell(each[arm]) for arm in ARMS)]
            for each in found["sparse"].values()
        ]
        yield tables.table([title, *ARMS], rows)
