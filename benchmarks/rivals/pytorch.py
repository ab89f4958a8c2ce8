"""PyTorch: the usual loop over a DataLoader with `torch.nn.utils.prune`, and a fast loop on resident tensors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Finished, Problem
from weirdonetworks.lab.data.datasets import Split

if TYPE_CHECKING:
    import torch


def prune_and_data_loader(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains with masks set by `prune.custom_from_mask`, on batches from a `DataLoader`."""
    harness.pytorch_threads(problem.threads)
    import torch
    from torch.nn.utils import prune
    from torch.utils.data import DataLoader, TensorDataset

    device = harness.pytorch_device()
    torch.manual_seed(problem.seed)
    layers, network = _network(problem)
    for layer, mask in zip(layers, problem.masks, strict=True):
        prune.custom_from_mask(layer, "weight", torch.from_numpy(mask.T).to(device))
    train = DataLoader(TensorDataset(*_tensors(problem, problem.train)), problem.batch_size, shuffle=True)
    test = DataLoader(TensorDataset(*_tensors(problem, problem.test)), problem.batch_size_test)
    optimizer = torch.optim.Adam(network.parameters(), problem.learning_rate)
    for _ in range(problem.epochs):
        network.train()
        for images, labels in train:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images.to(device)), labels.to(device)).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            right = sum(
                int((network(images.to(device)).argmax(1) == labels.to(device)).sum()) for images, labels in test
            )
        finished(right / len(problem.test))
    for layer in layers:
        prune.remove(layer, "weight")
    return _weights(layers)


def resident(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains on resident tensors with the fused Adam; weights and gradients are multiplied by the mask."""
    harness.pytorch_threads(problem.threads)
    import torch

    device = harness.pytorch_device()
    torch.manual_seed(problem.seed)
    layers, network = _network(problem)
    masks = [torch.from_numpy(mask.T.astype(np.float32)).contiguous().to(device) for mask in problem.masks]
    with torch.no_grad():
        for layer, mask in zip(layers, masks, strict=True):
            layer.weight.mul_(mask)
    train_images, train_labels = (each.to(device) for each in _tensors(problem, problem.train))
    test_images, test_labels = (each.to(device) for each in _tensors(problem, problem.test))
    optimizer = torch.optim.Adam(network.parameters(), problem.learning_rate, fused=True)
    for _ in range(problem.epochs):
        for batch in torch.randperm(len(train_labels), device=device).split(problem.batch_size):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(train_images[batch]), train_labels[batch]).backward()
            for layer, mask in zip(layers, masks, strict=True):
                assert layer.weight.grad is not None
                layer.weight.grad.mul_(mask)
            optimizer.step()
        with torch.inference_mode():
            right = int((network(test_images).argmax(1) == test_labels).sum())
        finished(right / len(problem.test))
    return _weights(layers)


def vmap_models(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains many models together by `torch.func`: their parameters stacked, `vmap` over the gradient of each."""
    harness.pytorch_threads(problems[0].threads)
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap

    device, networks = harness.pytorch_device(), []
    for problem in problems:
        torch.manual_seed(problem.seed)
        networks.append(_network(problem)[1])
    pattern = networks[0]
    parameters = {name: value.detach() for name, value in stack_module_state(networks)[0].items()}
    masks = {
        f"{2 * layer}.weight": torch.from_numpy(np.stack([p.masks[layer].T.astype(np.float32) for p in problems])).to(
            device
        )
        for layer in range(len(problems[0].masks))
    }
    for name, mask in masks.items():
        parameters[name] *= mask
    train_images, train_labels = (each.to(device) for each in _tensors(problems[0], problems[0].train))
    test_images, test_labels = (each.to(device) for each in _tensors(problems[0], problems[0].test))

    def loss(own: dict[str, torch.Tensor], images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(functional_call(pattern, own, (images,)), labels)

    gradients = vmap(grad(loss))
    outputs = vmap(lambda own: functional_call(pattern, own, (test_images,)))
    optimizer = torch.optim.Adam(list(parameters.values()), problems[0].learning_rate, fused=True)
    ready()
    for _ in range(problems[0].epochs):
        orders = torch.stack([torch.randperm(len(train_labels), device=device) for _ in problems])
        for batch in orders.split(problems[0].batch_size, dim=1):
            for name, gradient in gradients(parameters, train_images[batch], train_labels[batch]).items():
                parameters[name].grad = gradient * masks[name] if name in masks else gradient
            optimizer.step()
        with torch.inference_mode():
            accuracies = (outputs(parameters).argmax(2) == test_labels).float().mean(1).tolist()
    return accuracies


def _network(problem: Problem) -> "tuple[list[torch.nn.Linear], torch.nn.Sequential]":
    import torch

    layers = [torch.nn.Linear(*mask.shape) for mask in problem.masks]
    for layer in layers:
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        torch.nn.init.zeros_(layer.bias)
    *hidden, last = layers
    network = torch.nn.Sequential(*(part for layer in hidden for part in (layer, torch.nn.ReLU())), last)
    return layers, network.to(harness.pytorch_device())


def _tensors(problem: Problem, split: Split) -> "tuple[torch.Tensor, torch.Tensor]":
    import torch

    return torch.from_numpy(problem.inputs(split)), torch.from_numpy(split.labels).long()


def _weights(layers: "Sequence[torch.nn.Linear]") -> Sequence[npt.NDArray[np.floating]]:
    return [layer.weight.detach().cpu().numpy().T for layer in layers]
