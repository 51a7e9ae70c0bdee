"""Texts that read the same are the same: what a screen shows beside what a sentence names."""

import re
import unicodedata

# Marks that nobody sees: soft hyphen, zero-width space and joiners, word joiner, byte order mark.
_UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
# Inside an emoji a joiner makes one picture of two; what may stand on its left and right there.
_JOINED = re.compile(
    "([\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\ufe0f])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])"
)
_KEPT = "\ue000"  # stands for such a joiner meanwhile; of the private use area, as no text of a page means it


def plain(text: str) -> str:
    """The text in composed form (NFC), without the marks that nobody sees; emoji stay whole, blanks stay as they are."""
    if text.isascii():
        return text
    kept = _JOINED.sub(lambda match: match.group(1) + _KEPT, text.replace(_KEPT, ""))
    return unicodedata.normalize("NFC", _UNSEEN.sub("", kept)).replace(_KEPT, "\u200d")
