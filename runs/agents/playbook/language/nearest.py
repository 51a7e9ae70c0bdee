"""The sentences nearest to one that cannot be read: offered to a person, never taken by itself.

Each is made of the unread sentence's own words where that makes sense, and every one can be read.
"""

import difflib
import re
from functools import lru_cache

from runs.agents.playbook.language.plan import parse

SHOWN = 3
LONGEST = 200  # characters of a sentence that is looked at

# What a sentence is about, by its words; and the form that says it, with {rest} for the words after the verb.
_COMMANDS = frozenset(
    {
        "ls",
        "cd",
        "pwd",
        "cat",
        "echo",
        "mkdir",
        "rm",
        "rmdir",
        "cp",
        "mv",
        "grep",
        "git",
        "python",
        "python3",
        "pip",
        "npm",
    }
    | {
        "node",
        "curl",
        "wget",
        "ssh",
        "uname",
        "date",
        "whoami",
        "df",
        "du",
        "ps",
        "chmod",
        "chown",
        "tar",
        "unzip",
        "wc",
    }
    | {
        "sed",
        "awk",
        "env",
        "sudo",
        "apt",
        "docker",
        "systemctl",
        "ping",
        "hostname",
        "uptime",
        "free",
        "man",
        "nano",
        "vim",
    }
)
_WORD = re.compile(r"[\w'’.-]+")
_ARTICLES = re.compile(r"^(?:(?:on|at|the|an?|my|your|this|that|up|over|into|in|to)\s+)+", re.IGNORECASE)
_KIND = re.compile(
    r"\s+(?:button|link|tab|field|box|checkbox|menu|icon|page|website|site|file|list|dropdown)$", re.IGNORECASE
)
_FORMS: tuple[tuple[str, str], ...] = (
    ("click press tap hit push choose select open button link", 'click "{rest}"'),
    ("open go visit navigate browse website site page show load", "open {address}"),
    ("type enter write put fill input say", 'type "{rest}"'),
    ("fill field form enter put set", 'fill "{rest}" with "text"'),
    ("select choose pick dropdown option list", 'select "option" in "{rest}"'),
    ("check tick accept agree enable box checkbox", 'check "{rest}"'),
    ("uncheck untick disable", 'uncheck "{rest}"'),
    ("scroll move down page", 'scroll to "{rest}"'),
    ("hover mouse point", 'hover over "{rest}"'),
    ("press key hit keyboard", "press Enter"),
    ("back return previous", "go back"),
    ("refresh reload again", "refresh the page"),
    ("upload attach file", 'upload report.pdf to "{rest}"'),
    ("drag move drop", 'drag "{rest}" to "place"'),
    ("clear empty delete field", 'clear the "{rest}" field'),
    ("create make write new file save", "create a file named {name}"),
    ("start launch serve server web", "start the web server"),
    ("stop end kill shut server web", "stop the web server"),
    ("test tests suite run check", "run the test suite"),
    ("wait until loaded appears pause sleep", 'wait for "{rest}"'),
    ("wait pause sleep seconds minutes", "wait 5 seconds"),
    ("check verify make sure assert confirm see visible shown", 'check that "{rest}" is visible'),
    ("check verify make sure file exists", "check that the file {name} exists"),
    ("check verify url address", 'check that the URL contains "{rest}"'),
    ("remember note save keep memorize extract read copy text value", 'remember the text of "{rest}" as text'),
    ("ask question which what", 'ask "{rest}?"'),
    ("ask approval permission confirm allow before", "ask for approval to {rest}"),
    ("ask need get code password number value", "ask for {rest}"),
    ("person human hand somebody me captcha login", 'hand over to a person because "{rest}"'),
    ("done stop finish end complete", "stop"),
    ("fail error abort", "fail because {rest}"),
)  # fmt: skip

_HARMLESS = ("click", "wait for", "check that", "ask", "hand over")  # what may be meant by words about nothing known


@lru_cache(maxsize=256)
def nearest(sentence: str) -> list[str]:
    """Up to three sentences that can be read, the likeliest first; none for one without any words."""
    text = " ".join(sentence.split())[:LONGEST].strip(" .!?")
    words = [word.lower() for word in _WORD.findall(text)]
    if not words:
        return []
    rest = text.partition(" ")[2]
    offered = _as_command(text)
    scored = sorted(
        ((_likeness(text, words, cues, offer), offer) for cues, form in _FORMS if (offer := _filled(form, text, rest))),
        key=lambda pair: -pair[0],
    )
    for _, offer in scored:
        if offer not in offered and _can_be_read(offer):
            offered.append(offer)
        if len(offered) >= SHOWN:
            break
    return offered[:SHOWN]


def _as_command(text: str) -> list[str]:
    """What looks like a line for the shell, as a whole and cut at "and"."""
    bare = re.sub(r"^(?:please\s+)?(?:run|execute|do|use|type)\s+(?:the\s+command\s+)?", "", text, flags=re.IGNORECASE)
    bare = bare.strip("`\"' ")
    head = bare.split(" ")[0].rpartition("/")[2].lower() if bare else ""
    if not bare or "`" in bare or not (head in _COMMANDS or re.search(r"(?:^|\s)--?\w|[|<>]|&&", bare)):
        return []
    parts = re.split(r"\s+and(?:\s+then)?\s+", bare)
    cut = " and ".join(f"run `{part}`" for part in parts)
    offers = [cut, f"run `{bare}`"] if len(parts) > 1 else [cut]
    return [offer for offer in offers if _can_be_read(offer)]


def _filled(form: str, text: str, rest: str) -> str:
    """The form with the sentence's own words; text in double quotes keeps none of its own."""
    plain = re.sub(r"[\"“”„«»`]", "", _KIND.sub("", _ARTICLES.sub("", rest or text))).strip() or "text"
    name = re.search(r"[\w-]+\.\w{1,8}\b", text)
    address = re.search(r"(?:https?://\S+|[\w-]+(?:\.[\w-]+)+\S*)", text)
    return form.format(
        rest=plain,
        name=name[0] if name else "notes.txt",
        address=address[0].strip("\"'.,") if address else "https://example.com",
    )


def _likeness(text: str, words: list[str], cues: str, offer: str) -> float:
    """The words of the form's cues that the sentence has, the verb counting most; then its spelling."""
    cue_words = cues.split()
    close = sum(1.0 for word in words[1:] if word in cue_words)
    verb = max((difflib.SequenceMatcher(None, words[0], cue).ratio() for cue in cue_words), default=0.0)
    spelling = difflib.SequenceMatcher(None, text.lower(), offer.lower()).ratio()
    about = (3 * verb if verb >= 0.75 else 0) + min(close, 2)
    return about + spelling if about or offer.startswith(_HARMLESS) else spelling - 1


def _can_be_read(sentence: str) -> bool:
    plan = parse(sentence)
    return not plan.unknown and all(step["action"] != "refused" for step in plan.steps)
