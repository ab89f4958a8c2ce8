"""PyTorch: the usual loop over a DataLoader with `torch.nn.utils.prune`, and a fast loop on resident tensors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Finished, Problem
from weirdonetworks.lab.data.datasets import Split

if TYPE_CHECKING:
    import torch

    Layer: TypeAlias = torch.nn.Linear | torch.nn.Conv2d


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
        prune.custom_from_mask(layer, "weight", torch.from_numpy(_outputs_first(mask)).to(device))
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
    """Trains on resident tensors, channels last, with the fused Adam; multiplies weights and gradients by the mask."""
    harness.pytorch_threads(problem.threads)
    import torch

    device = harness.pytorch_device()
    torch.manual_seed(problem.seed)
    layers, network = _network(problem)
    network.to(memory_format=torch.channels_last)
    masks = [
        torch.empty_like(layer.weight).copy_(torch.from_numpy(_outputs_first(mask).astype(np.float32)))
        for layer, mask in zip(layers, problem.masks, strict=True)
    ]
    with torch.no_grad():
        for layer, mask in zip(layers, masks, strict=True):
            layer.weight.mul_(mask)
    train_images, train_labels = (each.to(device) for each in _tensors(problem, problem.train))
    test_images, test_labels = (each.to(device) for each in _tensors(problem, problem.test))
    optimizer = torch.optim.Adam(network.parameters(), problem.learning_rate, fused=True)
    # As for JAX: all at once where the activations are small.
    size = len(problem.test) if problem.model == "MNIST_FC" else problem.batch_size_test
    for _ in range(problem.epochs):
        network.train()
        for batch in torch.randperm(len(train_labels), device=device).split(problem.batch_size):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(train_images[batch]), train_labels[batch]).backward()
            for layer, mask in zip(layers, masks, strict=True):
                assert layer.weight.grad is not None
                layer.weight.grad.mul_(mask)
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            chunks = zip(test_images.split(size), test_labels.split(size), strict=True)
            right = torch.stack([(network(images).argmax(1) == labels).sum() for images, labels in chunks]).sum()
        finished(int(right) / len(problem.test))
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
        name: torch.from_numpy(np.stack([_outputs_first(p.masks[layer]).astype(np.float32) for p in problems])).to(
            device
        )
        for layer, name in enumerate(name for name in parameters if name.endswith("weight"))
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


def _network(problem: Problem) -> "tuple[list[Layer], torch.nn.Sequential]":
    """Makes the layers with weights, and the network of images, channels last, that they are in."""
    import torch

    class ChannelsFirst(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.permute(0, 3, 1, 2)

    class Mean(torch.nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden.mean((2, 3))

    def layer(mask: npt.NDArray[np.bool_], bias: bool) -> "Layer":
        if mask.ndim == 2:
            made: Layer = torch.nn.Linear(*mask.shape, bias=bias)
        else:
            height, width, inputs, outputs = mask.shape
            made = torch.nn.Conv2d(inputs, outputs, (height, width), padding="same", bias=bias)
        torch.nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
        if made.bias is not None:
            torch.nn.init.zeros_(made.bias)
        return made

    others: dict[str, Callable[[], torch.nn.Module]] = {
        "flatten": torch.nn.Flatten,
        "relu": torch.nn.ReLU,
        "pool": lambda: torch.nn.MaxPool2d(2),
        "mean": Mean,
    }
    layers: list[Layer] = []
    remaining = iter(problem.masks)
    network = torch.nn.Sequential(*[ChannelsFirst()] * (problem.parts[0] != "flatten"))
    for part in problem.parts:
        if part in others:
            network.append(others[part]())
        elif part == "norm":
            norm = torch.nn.BatchNorm1d if layers[-1].weight.ndim == 2 else torch.nn.BatchNorm2d
            network.append(norm(len(layers[-1].weight), momentum=0.01))
        else:
            layers.append(layer(next(remaining), bias=part == "layer"))
            network.append(layers[-1])
    return layers, network.to(harness.pytorch_device())


def _outputs_first(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Orders the axes of a mask as PyTorch does those of weights: `[outputs, inputs, height, width]`."""
    return mask.transpose(3, 2, 0, 1) if mask.ndim == 4 else mask.T


def _tensors(problem: Problem, split: Split) -> "tuple[torch.Tensor, torch.Tensor]":
    import torch

    return torch.from_numpy(problem.inputs(split)), torch.from_numpy(split.labels).long()


def _weights(layers: "Sequence[Layer]") -> Sequence[npt.NDArray[np.floating]]:
    weights = [layer.weight.detach().cpu().numpy() for layer in layers]
    return [weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T for weight in weights]
