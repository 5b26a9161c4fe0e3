"""Headers of consumed records, hostile ones included."""

from confluent_kafka import Message

from contracts.raw import UNREADABLE, Headers


def headers_of(messages: list[Message]) -> list[Headers]:
    """Return each message's headers, asking each message once.

    For a name that is not UTF-8 the client returns a broken list *and* sets an exception, and hands out the
    same list, without one, when asked again: reading it ends the process. `map` checks for the exception
    and raises SystemError; a call in Python code, once the interpreter has specialised it, does not.
    """
    found: list[Headers] = []
    rest = map(Message.headers, messages)
    while len(found) < len(messages):
        try:
            found.extend(rest)  # type: ignore[arg-type]  # bytes: nothing decodes values
        except SystemError:
            found.append(UNREADABLE)
    return found
