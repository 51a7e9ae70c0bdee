"""The sentences that the playbook agent understands, as a grammar (docs/api/runs.md section 9).

Words of the language are terminals whose names begin with an underscore and leave no trace in the tree; what remains
are fragments of parameters, merged by the sentence they stand in. Articles are ignored everywhere.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError

from runs.agents.playbook.language import word_values
from runs.agents.playbook.language.bound import MARK, MARKS, Reference, Value, has_mark, is_mark, shown, with_known
from runs.agents.playbook.language.command_values import with_values
from runs.agents.playbook.language.sentence_cuts import QUOTED

Params = dict[str, Any]

LONGEST_SENTENCE = 6000  # characters; a longer one is not read

_GRAMMAR = r"""
?start: _OPEN _PAGE? url                               -> open_url
    | how _ON? target place?                                -> click
    | _PRESS label role                                     -> click
    | _FILL target place? _WITH text                        -> fill
    | _TYPE text _INTO target place?                        -> fill
    | _TYPE text                                            -> type_text
    | _SELECT _OPTION? option _FROM target place?           -> select_option
    | _CLEAR target place?                                  -> clear
    | _UPLOAD _FILE? _NAMED? name (_TO | _INTO) target place?  -> upload
    | _HOVER _OVER? target place?                           -> hover
    | _DRAG from (_ONTO | _INTO) to                         -> drag
    | _GO_BACK                                              -> go_back
    | _RELOAD _PAGE?                                        -> reload
    | (_CHECK | _TICK) target place?                        -> check
    | _UNCHECK target place?                                -> uncheck
    | _PRESS _KEY? keys _KEY?                               -> press
    | _SCROLL direction times?                              -> scroll
    | _SCROLL direction? _TO edge                           -> scroll
    | _SCROLL direction? _TO label                          -> scroll_to
    | _RUN _COMMAND? command                                -> run
    | (_RUN | _START) _TESTS                                -> run_tests
    | _CREATE _NEW? _FILE _NAMED? name contents?            -> create_file
    | _START _SERVER (_ON? _PORT port)?                     -> start_server
    | (_STOP | _KILL) _SERVER                               -> stop_server
    | _WAIT _FOR? duration                                  -> wait
    | _WAIT _FOR awaited limit?                             -> wait_for
    | _WAIT _UNTIL condition limit?                         -> wait_for
    | (_CHECK | _VERIFY) _THAT? condition                   -> check_that
    | _REMEMBER _TEXT_OF? target place? _AS saved_as        -> remember
    | _REMEMBER _TEXT_OF? kind place? _AS saved_as           -> remember
    | _REMEMBER _LINE_WITH line _AS saved_as                -> remember_line
    | _REMEMBER _OUTPUT _AS saved_as                        -> remember_output
    | _ASK _PERSON? question options?                       -> ask_question
    | (_ASK _PERSON? _FOR | _GET | _WAIT _FOR) _APPROVAL purpose?  -> ask_approval
    | _ASK _PERSON? _FOR value                              -> ask_input
    | _HAND_OVER _TO_PERSON? (_BECAUSE reason | quoted_reason)?  -> hand_over
    | (_STOP | _END) _HERE?                                 -> stop
    | _SUCCEED (_WITH summary | quoted_summary)?            -> succeed
    | _FAIL (_BECAUSE reason | quoted_reason)?              -> fail

target: ordinal? label role? | ordinal? role label
kind: ordinal? role
place: _IN _ROW? row _ROW?
contents: _WITH_TEXT text
options: _OPTIONS choice (_LIST? choice)*
limit: _UP_TO duration

?condition: _TEXT? seen _VISIBLE                            -> text_visible
    | _TEXT? seen _HIDDEN                                   -> text_hidden
    | _PAGE_SHOWS seen                                      -> text_visible
    | _PAGE_HIDES seen                                      -> text_hidden
    | _FILE _NAMED? name (_EXISTS | _VISIBLE)               -> file_there
    | _FILE _NAMED? name _HIDDEN                            -> file_gone
    | _FILE _NAMED? name _CONTAINS text                     -> file_there
    | _FILE _NAMED? name _LACKS text                        -> file_lacks
    | _THERE_IS _FILE _NAMED? name                          -> file_there
    | _URL_WORD _CONTAINS url_part                          -> url_contains
    | _URL_WORD _LACKS url_part                             -> url_lacks
    | _PORT port _LISTENING                                 -> port_open
    | _PORT port _NOT_LISTENING                             -> port_closed
    | (_SERVER | _IT) _LISTENS _PORT port                   -> port_open
    | target place? _IS_CHECKED                             -> box_checked
    | target place? _IS_UNCHECKED                           -> box_unchecked
    | target place? _CONTAINS text                          -> field_contains
    | target place? _LACKS text                             -> field_lacks
    | target place? _HOLDS text                             -> field_is
    | target place? _IS_EMPTY                               -> field_empty

?awaited: _TEXT? seen _TO_APPEAR?                           -> text_visible
    | _TEXT? seen _TO_DISAPPEAR                             -> text_hidden
    | _PORT port _TO_LISTEN?                                -> port_open
    | (_SERVER | _IT) _TO_LISTEN (_PORT port)?              -> port_open
    | _FILE _NAMED? name _TO_APPEAR?                        -> file_there

how: CLICK
label: STR
line: STR
saved_as: STR | KEY_NAME
from: STR
to: STR
row: STR
text: STR
seen: STR
option: STR
choice: STR
question: STR
url_part: STR | URL
url: URL | STR
role: ROLE
ordinal: ORDINAL
keys: STR | KEYS
direction: DIRECTION
edge: EDGE
times: (NUMBER | VALUE) _TIMES?
command: CMD | STR
name: STR | CMD | NAME
port: NUMBER | VALUE
duration: (NUMBER | SPAN) UNIT
purpose: PREPOSITION? (STR | FREE)
value: STR | FREE
reason: STR | FREE
summary: STR | FREE
quoted_reason: STR                                          -> reason
quoted_summary: STR                                         -> summary

_OPEN: /(open|visit|load|(go|navigate|browse)\s+to)\b/i
_PAGE: /((web)?\s*(page|site)|url|address)(\s+at)?\b/i
CLICK: /((double|right|middle|left)[\s-]*)?click\b|tap\b/i
_ON: /on\b/i
_FILL: /fill(\s+(in|out))?\b/i
_TYPE: /(type|write|enter|put)\b/i
_INTO: /in(to)?\b/i
_WITH: /with\b/i
_SELECT: /(select|choose|pick)\b/i
_OPTION: /(option|value|entry|item)\b/i
_FROM: /(in|from)\b/i
_CLEAR: /(clear|empty)\b/i
_UPLOAD: /(upload|attach)\b/i
_HOVER: /hover\b|(move|put)\s+(the\s+)?(mouse|pointer|cursor)\b/i
_OVER: /(over|on|to|at)\b/i
_DRAG: /drag(\s+and\s+drop)?\b/i
_ONTO: /(on)?to\b|on\b/i
_GO_BACK: /(go|navigate)\s+back(\s+(a|one)\s+page|\s+to\s+(the\s+)?(previous|last)\s+page)?\b/i
_RELOAD: /(refresh|reload)\b/i
_CHECK: /check\b/i
_TICK: /tick\b/i
_UNCHECK: /un(check|tick)\b/i
_PRESS: /(press|hit)\b/i
_KEY.1: /keys?\b/i
_SCROLL: /scroll\b/i
_TO: /to\b/i
_RUN: /(run|execute)\b/i
_COMMAND: /(shell\s+)?command\b/i
_TESTS: /((all|the|integration|unit|full|whole|complete)\s+)*(test\s*suite|tests)\b/i
_CREATE: /(create|make)\b/i
_NEW: /(new\s+|empty\s+)*(new|empty|text)\b/i
_FILE.1: /(text\s+)?file\b/i
_NAMED.1: /(named|called)\b/i
_WITH_TEXT: /(with|containing|that\s+(says|contains))(\s+the)?(\s+(text|contents?|words?|line))?\b/i
_START: /(start|launch)\b/i
_SERVER: /((local|simple)\s+)?((web|http)\s*)?server\b/i
_STOP: /stop\b/i
_KILL: /(kill|shut\s+down)\b/i
_PORT: /(tcp\s+)?port\b/i
_WAIT: /wait\b/i
_FOR: /for\b/i
_UNTIL: /(until|till)\b/i
_UP_TO: /(for\s+)?(up\s+to|at\s+most|no\s+longer\s+than)\b|for\b|within\b/i
_VERIFY.1: /(verify|confirm|ensure|assert|make\s+sure)\b/i
_THAT: /that\b/i
_TEXT.1: /(text|words?|message|heading)\b(?!\s+(field|box)\b)/i
_VISIBLE: /(is|are)\s+(now\s+)?(visible|shown|displayed|there|present|on\s+(the\s+)?(screen|page))\b|appears?\b/i
_HIDDEN.1: /((is|are)(\s+not|n['’]t|\s+no\s+longer)\s+(visible|shown|displayed|there|present)
    |(is|are)(\s+not|n['’]t|\s+no\s+longer)\s+on\s+(the\s+)?(screen|page)
    |(is|are)\s+(gone|hidden)|do(es)?(\s+not|n['’]t)\s+(appear|exist)|disappears?)\b/ix
_PAGE_SHOWS: /(page|screen|terminal|text|output)\s+(shows|contains|says)\b/i
_PAGE_HIDES: /(page|screen|terminal|text|output)\s+(does\s+not|doesn['’]t)\s+(show|contain|say)\b/i
_IS_CHECKED: /(is|are)\s+(now\s+)?(checked|ticked|selected|switched\s+on)\b/i
_IS_UNCHECKED: /(is|are)\s+(now\s+)?(unchecked|unticked|switched\s+off)\b
    |(is|are)(\s+not|n['’]t|\s+no\s+longer)\s+(checked|ticked|selected|switched\s+on)\b/ix
_HOLDS: /(is|equals)(?=\s*["'“„«»‘‚\ufdd0])|(holds|shows|reads|has(\s+the)?(\s+(value|text))?)\b/i
_IS_EMPTY: /is\s+(now\s+)?empty\b/i
_EXISTS: /exists\b/i
_CONTAINS: /(contains|says)\b/i
_LACKS: /(does\s+not|doesn['’]t)\s+(contain|say)\b/i
_THERE_IS: /there\s+is\b/i
_URL_WORD: /url|(web\s+)?address\b/i
_LISTENING: /(is\s+)?(listening|listened\s+on|open)\b/i
_NOT_LISTENING: /(is\s+)?(not\s+(listening|open)|closed|free)\b/i
_LISTENS: /(listens|is\s+listening)\s+(on|at)\b/i
_IT: /it\b/i
_TO_LISTEN: /to\s+((start|be|begin)\s+)*(listen(ing)?|open)(\s+(on|at))?\b/i
_TO_APPEAR: /to\s+(appear|exist|show(\s+up)?|be\s+(visible|shown|there))\b/i
_TO_DISAPPEAR: /to\s+(disappear|go\s+away)\b/i
_REMEMBER: /(remember|memorize|note(\s+down)?)\b/i
_TEXT_OF: /(text|value|content|contents|words?)\s+(of|in|from)\b/i
_LINE_WITH: /line\s+(with|containing|that\s+(contains|has|says))\b/i
_OUTPUT: /((last|latest)\s+)?output(\s+of\s+(the\s+)?(last\s+|latest\s+)?command)?\b/i
_AS: /as\b/i
_ASK: /ask\b/i
_PERSON: /(person|human|operator|user|approver|someone|somebody|me)\b/i
_OPTIONS: /(with\s+|from\s+)?((the|these)\s+)?(options|choices|answers)\b:?|:/i
_LIST: /,\s*(and|or)?\b|(and|or)\b|,/i
_GET: /(get|request|obtain)\b/i
_APPROVAL.1: /((the|an?|your|my|human)\s+)?(approval|permission)(?=\s*$|\s+(to|before|for|because|of)\b|\s*["'“„«‘])/i
_HAND_OVER: /hand\s+((it|this|control)\s+)?over\b|hand\s+over\s+control\b/i
_TO_PERSON: /to\s+((the|an?)\s+)?(person|human|operator|someone|somebody|me)\b/i
_BECAUSE: /because(\s+of)?\b|with\b|:/i
_HERE: /(here|now|the\s+(run|task))\b/i
_END: /(finish|end|done|quit)\b/i
_SUCCEED: /succeed\b/i
_FAIL: /fail\b/i
_IN: /(in|inside|within|of|next\s+to|beside)\b/i
_ROW: /(row|line)\b/i
_TIMES: /times?\b/i

STR: /@QUOTED@/
CMD: /`[^`]+`/
URL.1: /https?:\/\/[^\s"'`]+|(localhost|[\w-]+(\.[\w-]+)+|[\w-]+(?=:\d)|\[[0-9a-f:.]+\])(:\d+)?([\/?#][^\s"'`]*)?
    |@MARK@[^\s"'`]+/ix
VALUE: /@MARK@/
SPAN.2: /@MARK@(?=\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?)\b)/i
ROLE: /(radio\s+|push\s+)?button|link|tab|menu(\s+item)?|(text|input|search)?\s*(field|box)|check\s*box|radio|option
    |drop-?\s?down(\s+list)?|list|cell|icon|image|heading|switch/ix
ORDINAL: /(first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|\d{1,3}(st|nd|rd|th))\b/i
KEYS: /(?!(the|an?)\s)((page|arrow)\s+(up|down|left|right)\b|(up|down|left|right)\s+arrow\b|[^\s+"'`\ufdd0]+(\s*\+\s*[^\s+"'`\ufdd0]+)*)/i
DIRECTION: /(up|down|left|right)\b/i
EDGE: /(top|bottom|end)(\s+of\s+(the\s+)?page)?\b/i
KEY_NAME: /(?!(the|an?)\s)\w[\w.-]{0,63}/i
NUMBER: /\d{1,9}(\.\d{1,3})?/
UNIT: /(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?)\b/i
NAME: /(?!(the|an?)\s+file\b)(?!the\s)[^\s"'`,;]+/
PREPOSITION: /(to|before|for|because|of)\b/i
FREE.-1: /\S.*/s
ARTICLE.-2: /(the|an?)(?=\s|$)/i
WS: /\s+/

%ignore WS
%ignore ARTICLE
"""


CONDITIONS = frozenset(
    {"text_visible", "text_hidden", "file_there", "file_gone", "file_lacks", "url_contains", "url_lacks"}
    | {"port_open", "port_closed", "box_checked", "box_unchecked"}
    | {"field_contains", "field_lacks", "field_is", "field_empty"}
)
# Leaves that are text: how they lose their quotes, before the values in them are put in.
_LITERAL: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(
        ("label", "from", "to", "row", "text", "seen", "option", "choice", "question", "url_part", "line"),
        word_values.unquoted,
    ),
    **dict.fromkeys(("reason", "summary"), word_values.prose),
    "value": word_values.value_name,
    "saved_as": word_values.key_of_output,
}
# Leaves that are read with the values in them.
_READ: dict[str, Callable[[str], Any]] = {
    "keys": word_values.key_names,
    "times": word_values.whole,
    "port": word_values.port,
}
_LEAVES: dict[str, Callable[..., Any]] = {
    "how": word_values.click_kind,
    "role": word_values.role_name,
    "ordinal": word_values.place_in_order,
    "direction": str.lower,
    "edge": str.lower,
}


class _Fragments(Transformer[Token, Any]):
    """Every leaf becomes a piece of parameters; a sentence becomes (its name, the pieces merged)."""

    def __init__(self, values: Sequence[Value]) -> None:
        super().__init__()
        self.values = values

    def __default__(self, data: Any, children: list[Any], meta: Any) -> Any:
        rule = str(data)
        if children and isinstance(children[0], Token):
            return {rule: self._leaf(rule, [str(child) for child in children])}
        if rule == "options":
            return {"options": [child["choice"] for child in children]}
        if rule == "limit":
            return {"limit": children[0]["duration"]}
        merged: Params = {key: value for child in children for key, value in child.items()}
        if rule in CONDITIONS:
            return {"condition": {"is": rule, **merged}}
        return merged if rule in ("target", "kind", "place", "contents") else (rule, merged)

    def _leaf(self, rule: str, parts: list[str]) -> Any:
        """Raises UnreadableError, and RefusedError where it is a value that does not fit."""
        try:
            return self._value(rule, parts)
        except word_values.RefusedError:
            raise
        except word_values.UnreadableError:
            filled = shown(" ".join(parts), self.values)
            if has_mark("".join(parts)):
                raise word_values.RefusedError(f"This value does not fit in its place: {filled[:200]}") from None
            raise

    def _value(self, rule: str, parts: list[str]) -> Any:
        first = parts[0]
        if rule in _LITERAL:
            return with_known(_LITERAL[rule](first), self.values)
        if rule in _READ:
            return _READ[rule](with_known(word_values.unquoted(first), self.values))
        return _OTHER[rule](self, *parts) if rule in _OTHER else _LEAVES[rule](*parts)

    def _command(self, word: str) -> str:
        return with_values(word_values.nonempty(word), self.values)

    def _name(self, word: str) -> str:
        filled = with_known(word_values.nonempty(word), self.values)
        return filled if has_mark(filled) else word_values.nonempty(f"`{filled}`")

    def _purpose(self, *parts: str) -> str:
        return with_known(word_values.purpose(*parts), self.values)

    def _duration(self, number: str, unit: str) -> int:
        return word_values.milliseconds(with_known(number, self.values), unit)

    def _url(self, word: str) -> str:
        return self._address(word_values.unquoted(word))

    def _address(self, url: str) -> str:
        """With its values; an address that a person gives is looked at when it is known."""
        if is_mark(url) and has_mark(with_known(url, self.values)):
            return url
        filled = MARKS.sub(lambda found: self._in_address(found, url), url)
        return word_values.address(filled)

    def _in_address(self, match: re.Match[str], url: str) -> str:
        value = self.values[int(match[1])]
        if isinstance(value, Reference):
            raise word_values.RefusedError("What a person gave, or a secret, cannot stand inside an address.")
        return word_values.in_address(value, url[: match.start()])


_OTHER: dict[str, Callable[..., Any]] = {
    "command": _Fragments._command,
    "name": _Fragments._name,
    "purpose": _Fragments._purpose,
    "duration": _Fragments._duration,
    "url": _Fragments._url,
}


@cache
def _parser() -> Lark:
    grammar = _GRAMMAR.replace("@QUOTED@", QUOTED).replace("@MARK@", MARK)
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)


def read(sentence: str, values: Sequence[Value] = ()) -> tuple[str, Params] | None:
    """The instruction that the sentence gives and its raw parameters; None when it gives none.

    `values`: what its marks stand for. Raises RefusedError for a sentence that is understood and must not be carried out.
    """
    if not sentence or len(sentence) > LONGEST_SENTENCE:
        return None
    try:
        return cast(tuple[str, Params], _Fragments(values).transform(_parser().parse(sentence)))
    except word_values.RefusedError:
        raise
    except (LarkError, word_values.UnreadableError):
        return None
