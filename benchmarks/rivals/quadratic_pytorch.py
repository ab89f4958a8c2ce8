"""Quadratic layers in plain PyTorch."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks import harness
from benchmarks.rivals.quadratic import Floats, Prepared, Problem

if TYPE_CHECKING:
    import torch


def gather(problem: Problem) -> Prepared:
    """Gathers both factors of all monomials, and maps their products by `nn.Linear`."""
    harness.pytorch_threads(problem.threads)
    import torch

    lower, upper = (torch.from_numpy(each).to(harness.pytorch_device()) for each in problem.pairs)
    layer = torch.nn.Linear(*problem.weights.shape, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(problem.weights.T))
    return _prepared(
        problem, layer, lambda inputs: layer(inputs[:, lower] * inputs[:, upper]), lambda gradient: gradient.T
    )


def bilinear(problem: Problem) -> Prepared:
    """Computes the layer by `nn.Bilinear` of the inputs with themselves."""
    harness.pytorch_threads(problem.threads)
    import torch

    n, outputs = problem.inputs.shape[1], problem.weights.shape[1]
    layer = torch.nn.Bilinear(n, n, outputs, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(problem.matrices().transpose(2, 0, 1)))
    return _prepared(
        problem,
        layer,
        lambda inputs: layer(inputs, inputs),
        lambda gradient: gradient.transpose(1, 2, 0)[problem.pairs],
    )


def _prepared(
    problem: Problem,
    layer: "torch.nn.Module",
    run: "Callable[[torch.Tensor], torch.Tensor]",
    read: Callable[[Floats], Floats],
) -> Prepared:
    import torch

    device = harness.pytorch_device()
    layer.to(device)
    inputs, upstream = (torch.from_numpy(each).to(device) for each in (problem.inputs, problem.upstream))

    def step() -> "tuple[torch.Tensor, torch.Tensor]":
        layer.weight.grad = None
        outputs = run(inputs)
        outputs.backward(upstream)
        if device == "cuda":
            torch.cuda.synchronize()
        return outputs, layer.weight.grad

    return Prepared(step, lambda done: (done[0].detach().cpu().numpy(), read(done[1].cpu().numpy())))
