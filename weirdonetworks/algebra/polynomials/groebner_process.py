"""Groebner bases with a time limit, by running SymPy in a subprocess.

Run as a script, this file reads generators of an ideal from stdin and writes the reduced basis to stdout, as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

Terms = list[tuple[tuple[int, ...], int]]


def groebner(generators: Sequence[Terms], variables: int, seconds: float) -> list[Terms] | None:
    """Computes the reduced Groebner basis of integer polynomials, in graded reverse lexicographic order.

    >>> groebner([[((1, 0), 2), ((0, 1), -2)]], 2, seconds=60)
    [[((1, 0), 1), ((0, 1), -1)]]

    Args:
      generators: The polynomials, each a list of terms (exponents, coefficient).
      variables: The number of variables.
      seconds: The time limit, including the start of the subprocess.

    Returns:
      The basis, of polynomials with coprime integer coefficients, or None if the time limit was reached.

    Raises:
      ChildProcessError: If the subprocess failed, for example for lack of memory.
    """
    # `-P` keeps this folder off sys.path, where its modules could shadow installed ones.
    command = [sys.executable, "-P", __file__, str(variables)]
    try:
        done = subprocess.run(
            command, input=json.dumps(generators), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        cause = (done.stderr.splitlines() or ["no error output"])[-1]
        raise ChildProcessError(f"the Groebner basis process exited with status {done.returncode}: {cause}")
    return [[(tuple(exponents), coefficient) for exponents, coefficient in terms] for terms in json.loads(done.stdout)]


def _found(generators: Any, variables: int) -> list[Terms]:
    from sympy import QQ, ZZ, grevlex
    from sympy.polys import groebnertools
    from sympy.polys.rings import PolyRing

    names = [f"w{index}" for index in range(variables)]
    rationals, integers = PolyRing(names, QQ, grevlex), PolyRing(names, ZZ, grevlex)
    given = [rationals.from_dict({tuple(key): QQ(value) for key, value in terms}) for terms in generators]
    basis = groebnertools.groebner(given, rationals)
    cleared = [each.clear_denoms()[1].set_ring(integers).primitive()[1] for each in basis]
    return [[(tuple(key), int(value)) for key, value in each.terms()] for each in cleared]


if __name__ == "__main__":
    json.dump(_found(json.load(sys.stdin), int(sys.argv[1])), sys.stdout)
