"""Labels and tiles leave the pictures as they are."""

from __future__ import annotations

import numpy as np
import pytest

from rl_experiments.recording.composing import NARROWEST, columns_for, dimmed, even, labelled, strip, tiled, with_rows

RED = (40, 0, 0)
TALL = np.full((210, 160, 3), RED, np.uint8)
WIDE = np.full((21, 301, 3), 90, np.uint8)


def _inked(text: np.ndarray) -> int:
    return int((text.max(axis=2) > 200).sum())


@pytest.mark.parametrize("picture", [TALL, WIDE])
def test_text_stands_beside_the_picture_and_not_on_it(picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    above = labelled(picture, "10,000 steps")
    below = with_rows(picture, ["step 3\treward 1.00", "action 2"])
    assert np.array_equal(above[-height - height % 2 :][:height, :width], picture)
    assert np.array_equal(below[:height, :width], picture)
    assert _inked(above[: -height - 1]) > 50
    assert _inked(below[height:]) > 50
    assert all(size % 2 == 0 for whole in (above, below) for size in whole.shape[:2])


def test_a_picture_too_narrow_for_text_gets_margins() -> None:
    picture = np.full((20, 33, 3), 200, np.uint8)
    whole = labelled(picture, "seed 1")
    assert whole.shape[1] == NARROWEST
    left = (NARROWEST - 33) // 2
    assert np.array_equal(whole[-20:, left : left + 33], picture)


def test_a_line_has_the_same_height_whatever_it_says() -> None:
    shapes = {strip(text, 160).shape for text in ("", "g", "W" * 200, "one\ttwo\tthree")}
    assert len(shapes) == 1
    assert not np.array_equal(strip("step 1", 160), strip("step 2", 160))


def test_tiles_of_different_sizes_each_keep_their_pixels() -> None:
    whole = tiled([TALL, WIDE, TALL], ["a", "b", "c"], columns=2)
    label = strip("", 301).shape[0]
    assert (whole == RED).all(axis=2).sum() == 2 * 210 * 160
    assert (whole[:, :302] == 90).all(axis=2).sum() == 0
    second = whole[label : label + 210, 305 : 305 + 301]
    assert (second == 90).all(axis=2).sum() == 21 * 301
    assert tiled([TALL, WIDE, TALL], ["quite another", "", "c"], columns=2).shape == whole.shape


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        tiled([TALL, WIDE], ["one"])
    with pytest.raises(ValueError, match="no pictures"):
        tiled([])


def test_pictures_can_be_dimmed_and_made_even() -> None:
    assert (dimmed(TALL) == (20, 0, 0)).all()
    assert even(WIDE).shape == (22, 302, 3)
    assert even(TALL) is TALL


def test_tiles_leave_few_places_empty() -> None:
    """Four pictures of Atari stand two by two, nine of CartPole three by three."""
    assert columns_for(4, 160, 258) == 2
    assert columns_for(9, 600, 400, 16 / 9) == 3
    assert columns_for(2, 480, 480) == 2


def test_labels_grow_with_the_whole() -> None:
    """So that they can be read when a video of many agents is made smaller."""
    tile = np.zeros((400, 600, 3), np.uint8)
    alone, row = tiled([tile], ["final"]), tiled([tile] * 4, ["final"] * 4, columns=4)
    assert row.shape[0] - 400 > (alone.shape[0] - 400) * 1.2
