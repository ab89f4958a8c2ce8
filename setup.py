"""Packaging; the tools' settings are in pyproject.toml."""

import pathlib

from setuptools import find_packages, setup

EXTRAS = {
    # igraph is under the GPL, so it is asked for, not brought along.
    "symmetry": ["igraph>=0.11"],
    "analysis": [
        "pandas>=2.2.2",
        "seaborn>=0.13",
        "jinja2>=3.1",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "ipykernel>=6.29",
    ],
    "experiments": ["scikit-learn>=1.5", "jinja2>=3.1"],
    "sparse": ["numba>=0.61"],
    "sweep": ["ray>=2.40"],
    "docs": ["furo>=2025.7", "igraph>=0.11", "ipykernel>=6.29", "myst-nb>=1.3", "sphinx>=8.2", "sphinx-design>=0.6"],
    "test": [
        "build>=1.2",
        "hypothesis>=6.100",
        "import-linter==2.16",
        "mypy==2.4.1",
        "pytest>=8.3",
        "pytest-xdist>=3.6",
        "ruff==0.17.5",
        "scikit-learn>=1.5",
        "igraph>=0.11",
        "ipykernel>=6.29",
        "jinja2>=3.1",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "numba>=0.61",
        "pandas>=2.2.2",
        "ray>=2.40",
    ],
}

setup(
    name="weirdonetworks",
    version="0.1.0",
    description="Symmetry in neural networks: of the input and of the weights, in TensorFlow 2 and Sonnet 2.",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(
        include=["weirdonetworks", "weirdonetworks.*", "weight_symmetry", "weight_symmetry.*", "analysis"]
    ),
    package_data={
        "weirdonetworks": ["py.typed"],
        "weirdonetworks.lab.data": ["mnist/*.gz", "mnist/SOURCE.md"],
        "weirdonetworks.lab.records": ["page.html"],
        "weight_symmetry": ["py.typed"],
        "analysis": ["plot_summary_json.ipynb"],
    },
    install_requires=[
        "absl-py>=2.1",
        "dm-sonnet>=2.0.2",
        "importlib_resources>=6.4",  # TensorFlow Datasets imports it without asking for it.
        "matplotlib>=3.9",
        "numpy>=2.0",
        "pillow>=10.3",
        "scipy>=1.11",
        "sympy>=1.13",
        "tensorboard>=2.19",  # TensorFlow no longer brings it along.
        "tensorflow>=2.20",  # 2.19 holds protobuf below what TensorFlow Datasets' own metadata need.
        "tensorflow-datasets>=4.9.8",
        "tqdm>=4.66",
    ],
    extras_require=EXTRAS,
)
