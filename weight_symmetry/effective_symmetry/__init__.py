"""How much symmetry is left in effect, where a pruned network has none by structure?

usage: python -m weight_symmetry.effective_symmetry [--flag=value ...]

Trains networks, prunes them by magnitude, trains them again under their masks, and exchanges the weights of any two
hidden units of a layer under the mask: by how much do the outputs change? Permutations among units whose exchange
changes the outputs by at most a tolerance are counted, beside the exact group's order:

    python -m weight_symmetry.effective_symmetry --features=64,32 --sparsities=0.5,0.8,0.9,0.95
    python -m weight_symmetry.effective_symmetry --width_factors=0.5,1,2,4
    python -m weight_symmetry.effective_symmetry --components=2,8,32,0

The control exchanges units at random weights, before any training, under the same masks. With several widths, or
images reduced to several numbers of principal components, each network is measured, and the picture compares them.
"""

from weight_symmetry.run.config import WidthStudyConfig
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError


class EffectiveSymmetryConfig(WidthStudyConfig):
    """Settings of the driver."""

    features: tuple[int, ...] = setting((64, 32), "Widths of the hidden layers of MNIST_FC.", minimum=1)
    sparsities: tuple[float, ...] = setting(
        (0.5, 0.8, 0.9, 0.95),
        "The fractions of weights to prune, of each masked layer.",
        minimum=0.0,
        maximum=0.9999,
        may_be_empty=False,
        affects="measuring",
    )
    tolerances: tuple[float, ...] = setting(
        (0.01, 0.03, 0.1, 0.3),
        "Changes of the outputs, in proportion to their size, up to which an exchange counts as a symmetry.",
        minimum=0.0,
        may_be_empty=False,
        affects="measuring",
    )
    components: tuple[int, ...] = setting(
        (0,),
        "Numbers of principal components that the images are reduced to, as a bound of their intrinsic dimension; 0 "
        "for the images as they are.",
        minimum=0,
        may_be_empty=False,
        default_affects="nothing",
    )
    test_images: int = setting(500, "The first so many test images are used.", minimum=1, affects="measuring")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sparsities", "tolerances", "components", "width_factors"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise UsageError(f"{name} (={getattr(self, name)}) must name each once.")
