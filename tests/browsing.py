"""A test client that reads pages as a browser shows them: how a template breaks its lines says nothing."""

import re
from typing import Any

from django.test import Client

_BLOCKS = (
    "html head body title meta link script main header footer nav aside section article div p ul ol li dl dt dd table thead "
    "tbody tr th td form fieldset legend details summary dialog figure figcaption blockquote h1 h2 h3 h4 pre option optgroup"
).replace(" ", "|")
_BREAK = r"\s*\n\s*"


def one_line(html: str) -> str:
    """Without the line breaks that lay a template out; what shows as a space is one."""
    html = re.sub(rf"({_BREAK})(?=</)|(?<=>){_BREAK}(?=</?(?:{_BLOCKS})\b)", "", html)
    html = re.sub(rf"(</?(?:{_BLOCKS})\b[^<>]*>|<[a-z][^<>]*>){_BREAK}", r"\1", html)
    html = re.sub(rf"{_BREAK}(?=</?(?:{_BLOCKS})\b)", "", html)
    return re.sub(r"(?: *\n +)+", " ", html).replace('" >', '">')


class Browser(Client):
    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        if not response.streaming and response.headers.get("Content-Type", "").startswith("text/html"):
            response.content = one_line(response.content.decode()).encode()
        return response
