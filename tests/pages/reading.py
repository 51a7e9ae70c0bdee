"""Reading a page as a parser does: what stands in it that may not, and what is missing."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = dict[str, str | None]
CONTROLS = frozenset({"input", "select", "textarea"})
NAMELESS = frozenset({"hidden", "submit", "button"})


@dataclass
class Page(HTMLParser):
    """Counts what the checks below ask for."""

    inline: list[str] = field(default_factory=list)  # what a strict Content-Security-Policy would refuse
    foreign: list[str] = field(default_factory=list)  # addresses of other servers that the page would load
    ids: list[str] = field(default_factory=list)
    labelled: set[str] = field(default_factory=set)
    controls: list[Attributes] = field(default_factory=list)
    images: list[Attributes] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    _in_label: int = 0
    _script: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._note_refused(tag, given)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "label":
            self._in_label += 1
            self.labelled.add(given.get("for") or "")
        if tag in CONTROLS and given.get("type") not in NAMELESS and not self._in_label:
            self.controls.append(given)
        if tag == "img":
            self.images.append(given)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "form":
            self.forms.append(given.get("action") or "")

    def _note_refused(self, tag: str, given: Attributes) -> None:
        self._script = tag == "script" and "src" not in given
        if tag == "style" or "style" in given:
            self.inline.append(f"<{tag}> style")
        self.inline += [f"<{tag}> {name}" for name in given if name.startswith("on")]
        for name in ("src", "href", "data-socket"):
            value = given.get(name) or ""
            elsewhere = ("javascript:", "data:") if tag == "a" else ("http:", "https:", "//", "javascript:", "data:")
            if value.startswith(elsewhere):
                self.foreign.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append("<script> with text")

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._in_label -= 1
        self._script = False

    def nameless_controls(self) -> list[Attributes]:
        return [c for c in self.controls if c.get("id") not in self.labelled and not c.get("aria-label")]

    def twice(self) -> set[str]:
        return {i for i in self.ids if self.ids.count(i) > 1}


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page
