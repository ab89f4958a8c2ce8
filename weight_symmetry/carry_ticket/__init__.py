"""Does a lottery ticket win from another start, if its mask is carried over by the permutation that aligns the two?

usage: python -m weight_symmetry.carry_ticket [--flag=value ...]

Trains networks A and B from two seeds, prunes A by magnitude to its mask, finds the permutation of hidden units that
makes A fit B, and trains sparse networks, each for the same number of epochs on the whole learning-rate schedule:

    ticket      A's mask on A's early weights
    carried     A's mask, permuted, on B's early weights
    unpermuted  A's mask as it is on B's early weights
    shuffled    A's mask, permuted at random, on B's early weights
    random      masks of the same sparsity in each layer on B's early weights

(Adnan, Jain, Sharma, Krishnan & Ioannou, Sparse training from random initialization: aligning lottery ticket masks
using weight symmetry, 2025.)

    python -m weight_symmetry.carry_ticket --sparsities=0.8,0.9,0.98 --rewind_epochs=0,1
    python -m weight_symmetry.carry_ticket --features=1024,1024 --method=activations
"""

from weight_symmetry.run.config import ModelStudyConfig
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError


class CarryTicketConfig(ModelStudyConfig):
    """Settings of the driver; the number of trials is that of pairs."""

    num_trials: int = setting(5, "Number of pairs, with consecutive seeds.", minimum=1, affects="measuring")
    sparsities: tuple[float, ...] = setting(
        (0.9,),
        "The fractions of weights to prune, of each masked layer.",
        minimum=0.0,
        maximum=0.9999,
        may_be_empty=False,
        affects="measuring",
    )
    rewind_epochs: tuple[int, ...] = setting(
        (0,), "The epochs whose weights the sparse networks begin with.", minimum=0, may_be_empty=False
    )
    method: str = setting(
        "activations",
        "What A and B are matched by.",
        choices=("weights", "activations"),
        affects="measuring",
    )
    match_images: int = setting(
        5000, "The first so many training images are used for matching.", minimum=2, affects="measuring"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.rewind_epochs) >= self.epochs:
            raise UsageError(f"rewind_epochs (={self.rewind_epochs}) must be below epochs (={self.epochs}).")
        for name in ("sparsities", "rewind_epochs"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise UsageError(f"{name} (={getattr(self, name)}) must name each once.")
