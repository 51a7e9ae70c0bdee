"""What people write and what fields hold: dates as they are written, and when two texts mean the same value."""

import re
from datetime import date, time
from decimal import Decimal

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
                "november", "december")  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join((*_LONG_MONTHS, 'sept', *_MONTHS))})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_DATES = [re.compile(pattern) for pattern in (
    rf"{_YEAR}-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})", rf"{_YEAR}/(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})",
    rf"(?P<day>\d{{1,2}})\.\s?(?P<month>\d{{1,2}})\.\s?{_YEAR}", rf"{_DAY}\.?\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}",
    rf"{_MONTH}\s+{_DAY},?\s+{_YEAR}", rf"{_DAY}-{_MONTH}-{_YEAR}",
)]  # fmt: skip
_SLASHED = re.compile(rf"(?P<first>\d{{1,2}})[/-](?P<second>\d{{1,2}})[/-]{_YEAR}")
_WEEKDAY = re.compile(r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+")
_TIME = re.compile(r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d)(?::(?P<second>\d\d))?)?\s*(?P<half>[ap]\.?m\.?)?")
_MONTHS_OF = [re.compile(pattern) for pattern in (
    rf"{_YEAR}-(?P<month>\d{{1,2}})", rf"(?P<month>\d{{1,2}})[/.]{_YEAR}", rf"{_MONTH},?\s+(?:of\s+)?{_YEAR}",
)]  # fmt: skip
_WEEKS = [re.compile(pattern) for pattern in (
    rf"{_YEAR}[-\s]?w(?P<week>\d{{1,2}})", rf"(?:week|w)\s*(?P<week>\d{{1,2}})(?:,|\s+of|/)?\s*{_YEAR}",
)]  # fmt: skip
EXAMPLES = {
    "date": "1990-04-12", "time": "14:30", "month": "2026-11", "week": "2026-W48", "datetime-local": "2026-11-28 14:30",
}  # fmt: skip


def as_held(kind: str, text: str) -> str | None:
    """The value that an <input> of this type (date, time, month, week, datetime-local) holds for a written one.

    None when it is no such value, or could be two: 04/05/1990 is read differently in different countries.
    """
    line = re.sub(r"\s+", " ", text).strip().lower()
    try:
        return {"date": _date, "time": _time, "month": _month, "week": _week, "datetime-local": _moment}[kind](line)
    except ValueError:
        return None


def _date(line: str) -> str | None:
    line = _WEEKDAY.sub("", line)
    for pattern in _DATES:
        if match := pattern.fullmatch(line):
            return _written(match["year"], _month_number(match["month"]), match["day"])
    match = _SLASHED.fullmatch(line)
    if match is None:
        return None
    year, first, second = match["year"], int(match["first"]), int(match["second"])
    if first != second and first <= 12 and second <= 12:
        return None
    return _written(year, second, first) if first > 12 else _written(year, first, second)


def _written(year: str, month: int, day: str | int) -> str:
    return date(int(year), month, int(day)).isoformat()


def _month_number(word: str) -> int:
    return int(word) if word.isdigit() else _MONTHS.index(word[:3]) + 1


def _time(line: str) -> str | None:
    match = _TIME.fullmatch(line)
    if match is None or not (match["minute"] or match["half"]):
        return None
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"].startswith("p") else 0)
    moment = time(hour, int(match["minute"] or 0), int(match["second"] or 0))
    return moment.isoformat() if moment.second else f"{moment:%H:%M}"


def _month(line: str) -> str | None:
    match = next(filter(None, (pattern.fullmatch(line) for pattern in _MONTHS_OF)), None)
    return _written(match["year"], _month_number(match["month"]), 1)[:7] if match else None


def _week(line: str) -> str | None:
    match = next(filter(None, (pattern.fullmatch(line) for pattern in _WEEKS)), None)
    if match is None:
        return None
    year, week, _ = date.fromisocalendar(int(match["year"]), int(match["week"]), 1).isocalendar()
    return f"{year:04}-W{week:02}"


def _moment(line: str) -> str | None:
    """Day and time; the time stands behind the last "t", comma, "at" or space that leaves two readable halves."""
    for cut in reversed(list(re.finditer(r"(?<=\d)t(?=\d)|,? at |, | ", line))):
        day, hour = _date(line[: cut.start()]), _time(line[cut.end() :])
        if day and hour:
            return f"{day}T{hour}"
    return None


# --- the same value

_SEPARATORS = re.compile(r"[\s\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\-\u2010-\u2015./()]")
_MONEY = re.compile(r"^(?:[$€£¥₹]|(?:usd|eur|gbp|chf)\b)\s*|\s*(?:[$€£¥₹%]|(?:usd|eur|gbp|chf))$", re.IGNORECASE)
_GROUPED = (
    (re.compile(r"[+-]?\d{1,3}(?:[,'’\s]\d{3})+(?:\.\d+)?"), r"[,'’\s]", "."),
    (re.compile(r"[+-]?\d{1,3}(?:[.\s]\d{3})+(?:,\d+)?"), r"[.\s]", ","),
    (re.compile(r"[+-]?\d*(?:\.\d+)?"), r"(?!)", "."),
    (re.compile(r"[+-]?\d*(?:,\d+)?"), r"(?!)", ","),
)


def same(text: str, shown: str) -> bool:
    """Do both mean the same, although the page may have put its own separators and case into it?

    Numbers are compared as numbers: 1234 is 1,234.00, but 1.5 is not 15.
    """
    text, shown = text.strip(), shown.strip()
    if text == shown:
        return True
    plain = _SEPARATORS.sub("", text).casefold()
    alike = bool(plain) and plain == _SEPARATORS.sub("", shown).casefold()
    numbers, others = _numbers(text), _numbers(shown)
    if numbers and others and not (text.isdigit() and shown.isdigit()):
        return bool(numbers & others)
    return alike


def means(text: str, shown: str) -> bool:
    """Whether a field that shows this holds what was put in: the same, or the written date or time that it was set to."""
    return same_lines(text, shown) or any(shown and as_held(kind, text) == shown for kind in EXAMPLES)


def _numbers(text: str) -> frozenset[Decimal]:
    """What the text can be as a number: "1.234" is two, "12-34" none."""
    text = _MONEY.sub("", _MONEY.sub("", text)).strip()
    if not re.search(r"\d", text) or len(text) > 40:
        return frozenset()
    return frozenset(
        Decimal(re.sub(gaps, "", text).replace(point, ".")) for form, gaps, point in _GROUPED if form.fullmatch(text)
    )


def same_lines(text: str, shown: str) -> bool:
    """As same(), for what holds paragraphs: blank lines between them and spaces at line ends do not count."""
    return same(_lines(text), _lines(shown))


def _lines(text: str) -> str:
    lines = [re.sub(r"[^\S\n]+", " ", line).strip() for line in re.split(r"\r\n?|\n", text)]
    return "\n".join(filter(None, lines))
