"""Lengths of time and windows as people write them: `7d`, `1h 24h`, `session_30m`, `7d_delay_7d`."""

import re

from contracts.errors import ConfigError
from features.definition import DAY_MS, HOUR_MS, MINUTE_MS, Window

_LENGTH = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?")
_WINDOW = re.compile(r"(?P<kind>session_|last_)?(?P<length>[0-9dhm]+)(?:_delay_(?P<delay>[0-9dhm]+))?")
FORMS = "write lengths as 30m, 1h, 7d or 1d12h, and lifetime, session_30m, last_10 or 7d_delay_7d"


def duration_ms(text: str) -> int:
    """Return a length of time in milliseconds.

    Raises:
        ConfigError: E_WINDOW_TEXT.

    >>> duration_ms("1d12h") // HOUR_MS
    36
    """
    days, hours, minutes = _units(text, text)
    return days * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS


def windows_of(text: str) -> tuple[Window, ...]:
    """Return the windows of a text, in its order.

    Raises:
        ConfigError: E_WINDOW_TEXT, E_WINDOW_LENGTH, E_WINDOW_ROWS or E_WINDOW_DELAY.

    >>> [window.label for window in windows_of("1h 24h lifetime last_10 session_30m 7d_delay_1d")]
    ['1h', '24h', 'lifetime', 'last_10', 'session_30m', '7d_delay_1d']
    """
    return tuple(map(_window, text.split()))


def _window(text: str) -> Window:
    if text == "lifetime":
        return Window.lifetime()
    found = _WINDOW.fullmatch(text)
    if not found:
        raise _refused(text)
    if found["kind"] == "last_":
        if not found["length"].isdigit() or found["delay"]:
            raise _refused(text)
        return Window.last(int(found["length"]))
    days, hours, minutes = _units(found["length"], text)
    make = Window.session if found["kind"] else Window.of
    window = make(days=days, hours=hours, minutes=minutes)
    if not found["delay"]:
        return window
    days, hours, minutes = _units(found["delay"], text)
    return window.delayed(days=days, hours=hours, minutes=minutes)


def _units(length: str, text: str) -> tuple[int, int, int]:
    found = _LENGTH.fullmatch(length)
    if not found or not length:
        raise _refused(text)
    days, hours, minutes = (int(number or 0) for number in found.groups())
    return days, hours, minutes


def _refused(text: str) -> ConfigError:
    return ConfigError("E_WINDOW_TEXT", f"{text!r} is no window or length of time", text, FORMS)
