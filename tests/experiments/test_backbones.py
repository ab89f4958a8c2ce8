"""Backbones give the features of the network they are made of, whatever it wants its images to be."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.experiments.transfer_stability import backbones
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files

# The features and the weights of the networks without their classifiers.
NAMED = {
    "VGG16": (512, 14_714_688),
    "ResNet50": (2048, 23_587_712),
    "MobileNetV3Large": (960, 2_996_352),
    "EfficientNetB7": (2560, 64_097_687),
}
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_the_named_networks_give_features_of_small_images(name: str) -> None:
    backbone = backbones.by_name(name, 32, weights="none")
    features = backbone.features(tf.constant(IMAGES)).numpy()
    width, weights = NAMED[name]
    assert features.shape == (2, width) and np.isfinite(features).all() and features.std() > 0
    assert (backbone.name, backbone.side, backbone.parameters) == (name, 32, weights)


def save(path: pathlib.Path, *layers: keras.Layer, side: int | None = None) -> str:
    keras.Sequential([keras.Input((side, side, 3)), *layers]).save(path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("none", IMAGES),
        ("caffe", IMAGES[..., ::-1] - np.array([103.939, 116.779, 123.68])),
        ("tf", IMAGES / 127.5 - 1),
        ("torch", (IMAGES / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])),
    ],
)
def test_a_saved_model_is_shown_images_as_it_wants_them(
    mode: str, expected: np.ndarray, tmp_path: pathlib.Path
) -> None:
    path = save(tmp_path / "small.keras", keras.layers.Flatten(), side=32)
    backbone = backbones.by_path(path, 96, mode)
    assert (backbone.name, backbone.side) == ("small", 32)  # Its own size goes before what is asked for.
    features = tf.function(backbone.features)(tf.constant(IMAGES)).numpy()
    np.testing.assert_allclose(features, expected.reshape(2, -1), rtol=1e-5, atol=1e-4)


def test_feature_maps_are_averaged(tmp_path: pathlib.Path) -> None:
    path = save(tmp_path / "maps.keras", keras.layers.Identity())
    backbone = backbones.by_path(path, 32)
    assert backbone.side == 32
    np.testing.assert_allclose(backbone.features(tf.constant(IMAGES)), IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(backbone.compiled(IMAGES[:1]), IMAGES[:1].mean(axis=(1, 2)), rtol=1e-5)


def test_a_file_of_another_content_is_told_apart(tmp_path: pathlib.Path) -> None:
    path = save(tmp_path / "maps.keras", keras.layers.Identity())
    first, same = (backbones.by_path(path, 32).digest for _ in range(2))
    save(tmp_path / "maps.keras", keras.layers.Cropping2D(1))
    assert first == same != backbones.by_path(path, 32).digest


def test_a_folder_leaves_a_name_a_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "VGG16").mkdir()
    (tmp_path / "model").write_text("")
    assert [backbones.is_path(name) for name in ("VGG16", "model", "gone.keras")] == [False, True, True]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras, where it saves weights.
def test_weights_of_a_file_are_loaded(tmp_path: pathlib.Path) -> None:
    made = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    made.save_weights(tmp_path / "vgg.weights.h5")
    read = backbones.by_name("VGG16", 32, weights=str(tmp_path / "vgg.weights.h5"))
    other = backbones.by_name("VGG16", 32, weights="none")
    expected = made(keras.applications.vgg16.preprocess_input(tf.constant(IMAGES)), training=False)
    np.testing.assert_array_equal(read.features(tf.constant(IMAGES)), expected)
    assert np.abs(other.features(tf.constant(IMAGES)) - expected).max() > 0
    assert read.digest == files.digest(made.get_weights()) != other.digest
    with pytest.raises(OSError, match=r"^weights \(=.*vgg\.weights\.h5\) are not those of MobileNetV3Large"):
        backbones.by_name("MobileNetV3Large", 32, weights=str(tmp_path / "vgg.weights.h5"))


@pytest.mark.slow
def test_bad_input_is_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "text.h5").write_text("no weights")
    right = save(tmp_path / "maps.keras", keras.layers.Identity())
    wide = save(tmp_path / "wide.keras", keras.layers.MaxPooling2D(5))
    keras.Sequential([keras.Input((8,)), keras.layers.Identity()]).save(tmp_path / "vectors.keras")
    for kind, refused, call in (
        (UsageError, "must be a network of keras.applications", lambda: backbones.by_name("VGG61", 32)),
        (UsageError, "must be a network of keras.applications", lambda: backbones.by_name("vgg16", 32)),
        (UsageError, "image_size (=16): VGG16 refuses it", lambda: backbones.by_name("VGG16", 16, "none")),
        (UsageError, "there is no such file", lambda: backbones.by_name("VGG16", 32, "gone.h5")),
        (UsageError, "there is no such file", lambda: backbones.by_path("gone.keras", 32)),
        (UsageError, "must map images", lambda: backbones.by_path(f"{tmp_path}/vectors.keras", 32)),
        (UsageError, f"image_size (=4): {wide} refuses it", lambda: backbones.by_path(wide, 4)),
        (OSError, "no saved Keras model", lambda: backbones.by_path(f"{tmp_path}/text.keras", 32)),
        (OSError, "are not those of", lambda: backbones.by_name("MobileNetV3Large", 32, f"{tmp_path}/text.h5")),
        (ValueError, "preprocess (=vgg) must be one of", lambda: backbones.by_path(right, 32, "vgg")),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert refused in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_weights_that_cannot_be_had_are_one_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # Where nothing answers.
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(OSError, match=r"^MobileNetV3Small's ImageNet weights are not on this machine.*--weights=FILE"):
        backbones.by_name("MobileNetV3Small", 32)

    def damaged(*args: object, **kwargs: object) -> None:
        print("Downloading data from afar")
        raise ValueError("Incomplete or corrupted file detected. The hash does not match.\nFetch it again.")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", damaged)
    with pytest.raises(OSError, match=r"^VGG16's ImageNet weights .*: Incomplete or corrupted file detected\. .*=FILE"):
        backbones.by_name("VGG16", 32)
    assert "Downloading" not in "".join(capfd.readouterr())
