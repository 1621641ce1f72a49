from __future__ import annotations

import numpy as np

from rudder_lrp.episodes.timeline import Timeline
from rudder_lrp.viewing.tensorboard import as_image, draw_timeline, grouped


def example(images: bool = False, actions: bool = True) -> Timeline:
    rng = np.random.default_rng(0)
    relevance = rng.normal(size=(20, 9))
    relevance[7, 3] = 8.0
    rewards = np.zeros(20)
    rewards[-1] = relevance.sum()
    return Timeline(
        rewards,
        relevance.sum(axis=1),
        relevance.sum(axis=1).cumsum(),
        relevance,
        [*(f"obs[{at}]" for at in range(8)), "bias"],
        [str(at) for at in range(20)] if actions else (),
        [(rng.uniform(size=(20, 6, 6)), rng.normal(size=(20, 6, 6)))] if images else (),
    )


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_the_step_with_most_credit_is_named_by_time_action_and_features() -> None:
    shown = example()
    assert np.abs(shown.credit).argmax() == 7
    assert f"step 7: {shown.credit[7]:+.3g} (action 7, obs[3] +8" in texts(draw_timeline(shown))


def test_rows_that_are_not_shown_share_one_and_no_credit_is_lost() -> None:
    relevance = np.random.default_rng(0).normal(size=(5, 12))
    names = [f"part {at}" for at in range(12)]
    labels, rows = grouped(relevance, names, 4)
    assert labels[-1] == "8 others"
    assert len(labels) == len(rows) == 5
    np.testing.assert_allclose(rows.sum(axis=0), relevance.sum(axis=1))


def test_the_heat_map_has_the_axis_of_the_rewards_above_it() -> None:
    axes = [axis for axis in draw_timeline(example()).findobj() if hasattr(axis, "get_xlim")]
    assert len({axis.get_xlim() for axis in axes}) == 1


def test_frames_stand_beside_the_timeline_of_images() -> None:
    plain, seen = draw_timeline(example()), draw_timeline(example(images=True))
    largest = sorted(example().strongest_steps(3))
    assert all(f"step {step}" in texts(seen).split("\n") for step in largest)
    assert as_image(seen).shape[0] > as_image(plain).shape[0]


def test_a_card_shows_letters_of_eight_pixels_and_more() -> None:
    """TensorBoard's cards of images are some 330 pixels wide."""
    figure = draw_timeline(example())
    pixels_an_inch = 330 / figure.get_figwidth()
    sizes = [
        text.get_fontsize()
        for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
        if text.get_text().strip()
    ]
    assert min(sizes) / 72 * pixels_an_inch >= 7.5


def test_without_actions_and_relevance_there_is_a_timeline_all_the_same() -> None:
    bare = Timeline(np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.array([0.5, 1.0]))
    assert as_image(draw_timeline(bare)).shape[2] == 3
