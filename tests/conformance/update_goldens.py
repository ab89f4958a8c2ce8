"""Writes the golden files anew from the modules as they are.

usage: python -m tests.conformance.update_goldens
"""

from tests.conformance import goldens


def main() -> None:
    """Writes a file for each entry of the registry, and deletes those that have none."""
    goldens.DIRECTORY.mkdir(exist_ok=True)
    kept = {goldens.path(entry) for entry in goldens.ENTRIES}
    for entry in goldens.ENTRIES:
        goldens.path(entry).write_text(goldens.write(entry), encoding="utf-8")
    for path in set(goldens.DIRECTORY.glob("*.json")) - kept:
        path.unlink()


if __name__ == "__main__":
    main()
