from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rudder_lrp.episodes.features import TransitionFeatures, feature_names, flatten
from rudder_lrp.episodes.images import grid_shape


def image_space(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def test_a_cell_is_the_mean_brightness_of_its_part() -> None:
    space = image_space(32, 48, 2)
    images = np.random.default_rng(0).integers(0, 256, size=(3, 32, 48, 2), dtype=np.uint8)
    features = flatten(space, images).reshape(3, 16, 16, 2)
    for row, column, channel in [(0, 0, 0), (15, 15, 1), (3, 5, 0)]:
        part = images[:, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3, channel]
        np.testing.assert_allclose(features[:, row, column, channel], part.mean(axis=(1, 2)) / 255.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [(84, 84, 1), (84, 84, 3), (37, 50, 4), (5, 3, 3), (96, 96, 12)])
def test_every_pixel_counts_and_the_features_stay_few(shape) -> None:
    space = image_space(*shape)
    assert len(feature_names(space, "obs")) == np.prod(grid_shape(space)) <= 1024
    image = np.full((1, *shape), 255, dtype=np.uint8)
    np.testing.assert_allclose(flatten(space, image), 1.0)
    for pixel in [(0, 0, 0), tuple(size - 1 for size in shape)]:
        dark = image.copy()
        dark[(0, *pixel)] = 0
        assert (flatten(space, dark) < 1.0).sum() == 1


def test_channels_come_first_or_last() -> None:
    last = np.random.default_rng(0).integers(0, 256, size=(2, 40, 40, 3), dtype=np.uint8)
    first = np.moveaxis(last, -1, 1)
    np.testing.assert_array_equal(
        flatten(image_space(40, 40, 3), last), flatten(image_space(3, 40, 40), np.ascontiguousarray(first))
    )


def test_features_of_images_have_names() -> None:
    features = TransitionFeatures(image_space(36, 36, 1), spaces.Discrete(2))
    assert features.names[0] == "obs[0,0,0]"
    assert len(features) == 256 + 256 + 2 + 1


def test_the_columns_of_each_image_are_those_of_its_names() -> None:
    space = spaces.Dict(a=spaces.Discrete(3), b=image_space(20, 20, 1), c=image_space(3, 40, 36))
    features = TransitionFeatures(space, spaces.Discrete(2))
    for name, image in zip("bc", features.images, strict=True):
        expected = [
            at for at, column in enumerate(features.names) if column.startswith((f"obs.{name}", f"change.{name}"))
        ]
        assert image.indices().tolist() == expected
