"""Finds a Groebner basis in a process of its own, which can be ended; SymPy's algorithm cannot be.

Run as a script: it reads generators of an ideal from stdin and writes the reduced basis to stdout, in JSON.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

Terms = list[tuple[tuple[int, ...], int]]


def groebner(generators: Sequence[Terms], variables: int, seconds: float) -> list[Terms] | None:
    """Finds the reduced Groebner basis of integer polynomials, in graded reverse lexicographic order.

    >>> groebner([[((1, 0), 2), ((0, 1), -2)]], 2, seconds=60)
    [[((1, 0), 1), ((0, 1), -1)]]

    Args:
      generators: The polynomials, each as terms: exponents and coefficient.
      variables: Their number of variables.
      seconds: How long the process may take, of which it needs a moment to start.

    Returns:
      The basis, of polynomials with coprime integer coefficients, or None if it was not found in time.

    Raises:
      ChildProcessError: If the process failed for another reason, such as want of memory.
    """
    # `-P` keeps this file's folder, whose modules have common names, out of the search for imports.
    command = [sys.executable, "-P", __file__, str(variables)]
    try:
        done = subprocess.run(
            command, input=json.dumps(generators), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        cause = (done.stderr.splitlines() or ["it said nothing"])[-1]
        raise ChildProcessError(f"the search for a Groebner basis ended with status {done.returncode}: {cause}")
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
