"""The pictures of a request: what its pages show of them, and their files."""

from typing import Any

from django.http import Http404, HttpResponse

from approvals.models import Approval
from approvals.subjects import subject_of
from web.templatetags.show import plain

CROP = (640, 240)  # pixels around the place of an action, shown at their real size


def picture_file(approval: Approval, index: int) -> HttpResponse:
    """The picture itself, for this answer only. Raises Http404."""
    picture = subject_of(approval).picture(approval, index)
    if picture is None:
        raise Http404
    return HttpResponse(picture.content, picture.content_type, headers={"Cache-Control": "private, no-store"})


def pictures(approval: Approval) -> list[dict[str, Any]]:
    """What people are shown with the request: the screen when it was opened, or what the program sent along."""
    shot = screen(approval)
    sent = approval.evidence.get("pictures", [])
    return [*([shot] if shot else []), *(_sent(approval, each, len(sent)) for each in sent)]


def earlier_screen(approval: Approval) -> str:
    """The address of the screen on which the request before this one was approved; "" for none."""
    index = approval.evidence.get("previous_screenshot_index")
    return subject_of(approval).picture_url(approval, index) if index is not None else ""


def _sent(approval: Approval, stored: dict[str, Any], count: int) -> dict[str, Any]:
    number = f"Picture {stored['index']} of {count}" if count > 1 else "Picture"
    return {
        "index": stored["index"],
        "url": subject_of(approval).picture_url(approval, stored["index"]),
        "width": stored["width"],
        "height": stored["height"],
        "alt": f"{number} that the program sent along",
        "caption": f"{number} that the program sent along. Nobody has checked what it shows.",
    }


def screen(approval: Approval) -> dict[str, Any] | None:
    """The screen when the request was opened, and where its action will land."""
    index = approval.evidence.get("screenshot_index")
    width, height = approval.context.get("width"), approval.context.get("height")
    if index is None or not width or not height:
        return None
    ring = mark(approval.action_now, width)
    return {
        "index": index,
        "url": subject_of(approval).picture_url(approval, index),
        "width": width,
        "height": height,
        "mark": ring,
        "crop": _crop(ring),
        "alt": plain(f"Screen when the request was opened: {approval.title}"),
        "caption": "The open ring marks where the action will land." if ring else "The screen when the question arose.",
    }


def _crop(ring: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part of the picture around the ring, which stands in its middle: {x, y, width, height} in its pixels."""
    if ring is None:
        return None
    width, height = CROP
    return {"x": ring["x"] - width // 2, "y": ring["y"] - height // 2, "width": width, "height": height}


def mark(action: dict[str, Any] | None, width: int) -> dict[str, Any] | None:
    """Where an action lands, in pixels of its picture: {x, y, r} and, for a drag, {x1, y1}."""
    params = (action or {}).get("params") or {}
    size = max(14, round(width / 50))
    if "x" in params and "y" in params:
        return {"x": params["x"], "y": params["y"], "r": size}
    if "to_x" in params:
        return {"x": params["to_x"], "y": params["to_y"], "r": size, "x1": params["from_x"], "y1": params["from_y"]}
    return None
