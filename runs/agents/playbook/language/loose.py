"""Sentences without quotes whose parts are plain all the same: they are put into the form that the grammar reads.

Only what has one meaning is rewritten, and only after the grammar has refused the sentence as it stands: a label stands
between a verb and the word for its kind ("click on the login button"), a text reaches to the end of the sentence.
"""

import re
from collections.abc import Iterator

_ROLE = (
    r"(?P<role>(?:radio\s+)?button|link|tab|menu\s+item|check\s*box|drop-?\s?down(?:\s+list)?|(?:text\s+|input\s+)?field"
    r"|(?:text\s+|input\s+|search\s+)?box|switch|icon)"
)
# Words of a label: no quotes, and nothing that joins, orders or places.
_LABEL = (
    r"(?P<label>(?!(?:the|an?|that|this|first|second|third|last|next|right|left|big|red|green|blue)\b)"
    r"[\w&'’/+#.-]+(?: [\w&'’/+#.-]+){0,4}?)"
)
# Words that join or order, and a label that begins as another thing does or breaks off: such a sentence says more than one.
_SAYS_MORE = re.compile(
    r"\b(?:and|or|then|if|with|from|until|after|before|not|the|an?)\b|^(?:button|link|tab|field|box|checkbox|icon|list)\b",
    re.IGNORECASE,
)
_QUOTED = r"(?P<text>\"[^\"]*\"|“[^“”]*”|„[^„“”]*[“”]|«[^«»]*»|\ufdd0\d+\ufdd1)"
_FILE = r"(?:a\s+|the\s+)?(?:new\s+)?(?:text\s+)?file\s+(?:named\s+|called\s+)?(?P<label>[^\s\"'`]+)"
_WITH_TEXT = r"(?:containing|with\s+the\s+(?:text|contents?)|that\s+(?:says|contains))(?:\s+the\s+text)?"
_FORMS = [
    (rf"(?P<how>(?:double[\s-]|right[\s-])?click|tap|press|hit)(?:\s+on)?\s+the\s+{_LABEL}\s+{_ROLE}", '{how} "{label}" {role}'),
    (rf"(?:hover)(?:\s+over)?\s+the\s+{_LABEL}\s+{_ROLE}", 'hover over "{label}" {role}'),
    (rf"(?P<how>check|tick|uncheck|untick)\s+the\s+{_LABEL}\s+{_ROLE}", '{how} "{label}" {role}'),
    (rf"clear\s+the\s+{_LABEL}\s+{_ROLE}", 'clear "{label}" {role}'),
    (rf"(?:type|enter|write|put)\s+{_QUOTED}\s+in(?:to)?\s+the\s+{_LABEL}\s+{_ROLE}", 'type {text} into "{label}" {role}'),
    (rf"fill(?:\s+(?:in|out))?\s+the\s+{_LABEL}\s+{_ROLE}\s+with\s+{_QUOTED}", 'fill "{label}" {role} with {text}'),
    (
        rf"(?:select|choose|pick)(?:\s+the\s+option)?\s+{_QUOTED}\s+(?:in|from)\s+the\s+{_LABEL}\s+{_ROLE}",
        'select {text} in "{label}" {role}',
    ),
    (
        rf"(?:create|make)\s+{_FILE}\s+{_WITH_TEXT}\s+(?P<rest>[^\"`]+)",
        'create a file named {label} with the text "{rest}"',
    ),
]  # fmt: skip
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), form) for pattern, form in _FORMS]
LONGEST = 300  # characters of such a sentence


def rewritten(sentence: str) -> Iterator[str]:
    """The sentence in forms of the grammar, if it has one of the shapes above."""
    if len(sentence) > LONGEST:
        return
    for pattern, form in _PATTERNS:
        match = pattern.fullmatch(sentence)
        if match and not _SAYS_MORE.search(match.groupdict().get("label") or ""):
            yield form.format(**match.groupdict())
