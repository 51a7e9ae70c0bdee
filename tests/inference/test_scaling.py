"""Points go from the picture that a model saw to the screen: by at most one pixel, never outside."""

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.wires import scaling
from machines import pictures
from tests.chance import TRIED

SCREENS = st.tuples(st.integers(320, 3840), st.integers(240, 2160))
DIALECTS = st.fixed_dictionaries(
    {"coordinates": st.sampled_from(["pixels", "thousand", "resized"])},
    optional={
        "max_side": st.integers(200, 4000),
        "factor": st.sampled_from([14, 28, 32]),
        "min_pixels": st.integers(1000, 200_000),
        "max_pixels": st.integers(200_000, 12_000_000),
    },
)


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


@TRIED
@given(SCREENS, DIALECTS, st.data())
def test_a_pixel_of_the_screen_comes_back_from_the_picture(
    screen: tuple[int, int], options: dict, data: st.DataObject
) -> None:
    """What the model can point at is as coarse as its picture: half a step of it is lost, and half a pixel by rounding."""
    view = scaling.view_of(*screen, options)
    grid = scaling.THOUSAND if options["coordinates"] == "thousand" else None
    x, y = data.draw(st.integers(0, screen[0] - 1)), data.draw(st.integers(0, screen[1] - 1))
    back = scaling.to_screen(view, *scaling.to_picture(view, x, y, grid), grid)
    assert back is not None
    for was, now, length, span in (
        (x, back[0], screen[0], grid or view.sent_width),
        (y, back[1], screen[1], grid or view.sent_height),
    ):
        assert 0 <= now < length
        assert abs(was - now) <= max(1, length / span + 0.5)


@TRIED
@given(SCREENS, DIALECTS, st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_a_point_is_on_the_screen_or_none(screen: tuple[int, int], options: dict, x: float, y: float) -> None:
    view = scaling.view_of(*screen, options)
    for grid in (None, scaling.THOUSAND):
        point = scaling.to_screen(view, x, y, grid)
        assert point is None or (0 <= point[0] < screen[0] and 0 <= point[1] < screen[1])


@TRIED
@given(SCREENS, DIALECTS)
def test_every_point_of_the_picture_means_one_of_the_screen(screen: tuple[int, int], options: dict) -> None:
    view = scaling.view_of(*screen, options)
    corners = [(0, 0), (view.sent_width - 1, view.sent_height - 1), (view.sent_width, view.sent_height)]
    assert None not in [scaling.to_screen(view, *corner) for corner in corners]
    assert scaling.to_screen(view, 1000, 1000, 1000) == (screen[0] - 1, screen[1] - 1)


@pytest.mark.parametrize(
    ("x", "y"), [(-2, 5), (5, -1.5), (1282, 5), (5, 802), (math.inf, 5), (5, math.nan), (10**400, 5), (-(10**400), 5)]
)
def test_more_than_one_pixel_outside_is_no_point(x: float, y: float) -> None:
    assert scaling.to_screen(scaling.view_of(1280, 800, {}), x, y) is None


def test_one_pixel_outside_is_the_edge() -> None:
    view = scaling.view_of(1280, 800, {})
    assert scaling.to_screen(view, -1, 800) == (0, 799)
    assert scaling.to_screen(view, 1280, -0.4) == (1279, 0)


def test_usual_screens_are_sent_as_they_are_and_larger_ones_keep_their_shape() -> None:
    assert scaling.view_of(1280, 800, {}).sent_width == 1280
    large = scaling.view_of(3840, 2160, {})
    assert (large.sent_width, large.sent_height) == (1440, 810)
    assert scaling.to_screen(large, 720, 405) == (1920, 1080)
    assert scaling.view_of(640, 480, {"max_side": 4000}).sent_width == 640, "never enlarged"


@TRIED
@given(SCREENS, st.sampled_from([14, 28, 32]))
def test_resized_sides_are_multiples_within_their_bounds(screen: tuple[int, int], factor: int) -> None:
    options = {
        "coordinates": "resized", "factor": factor, "min_pixels": 100_000, "max_pixels": 1_000_000, "max_side": 4000
    }  # fmt: skip
    view = scaling.view_of(*screen, options)
    assert view.sent_width % factor == view.sent_height % factor == 0
    assert 100_000 <= view.sent_width * view.sent_height <= 1_000_000
    again = scaling.view_of(view.sent_width, view.sent_height, options)
    assert (again.sent_width, again.sent_height) == (view.sent_width, view.sent_height), (
        "the server would resize it again"
    )


@pytest.mark.parametrize("bad", [0, -5, "28", None, 1.5])
def test_options_that_are_no_sizes_are_left_out(bad: object) -> None:
    options = {"coordinates": "resized", "factor": bad, "max_side": bad, "min_pixels": bad, "max_pixels": bad}
    assert scaling.view_of(1280, 800, options) == scaling.view_of(1280, 800, {"coordinates": "resized"})


def test_regions_have_their_corners_in_order_and_are_not_empty() -> None:
    view = scaling.view_of(2880, 1800, {})
    assert scaling.region_on_screen(view, [100, 50, 0, 0]) == [0, 0, 200, 100]
    assert scaling.region_on_screen(view, [5, 5, 5, 50]) is None
    assert scaling.region_on_screen(view, [5, 5, 5000, 50]) is None
    assert scaling.region_on_screen(view, [5, 5, 50]) is None


def test_a_picture_of_the_right_size_is_sent_byte_for_byte() -> None:
    picture = png(1280, 800)
    assert scaling.picture_bytes(picture, scaling.view_of(1280, 800, {})) is picture
    sha = pictures.store(picture)
    assert scaling.sent_picture(sha, picture, scaling.view_of(1280, 800, {})) == sha


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "LA", "I;16"])
def test_a_scaled_picture_is_kept_under_its_own_hash(mode: str) -> None:
    picture, view = png(2880, 1800, mode), scaling.view_of(2880, 1800, {})
    sha = pictures.store(picture)
    sent = scaling.sent_picture(sha, picture, view)
    assert sent != sha
    assert Image.open(io.BytesIO(pictures.read(sent))).size == (1440, 900)
    assert scaling.sent_picture(sha, picture, view) == sent
    assert scaling.sent_picture(sent, pictures.read(sent), view) == sent
