"""Passwords and tokens, which no message, log or repr may show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from llmopt_stream.errors import KafkaError, ProcessorError

__all__ = ["Redaction", "Secret"]

_HIDDEN = "***"


class Secret(str):
    """Text that is itself wherever it is used and hidden wherever it is shown.

    >>> Secret("hunter2"), len(Secret("hunter2"))
    ('***', 7)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_HIDDEN)


class Redaction:
    """Takes known secrets out of texts.

    >>> Redaction(["hunter2"])("login with hunter2 refused")
    'login with *** refused'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self._others: list[Redaction] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """One more, from now on; only the latest of many."""
        if secret and secret not in self._secrets:
            self._secrets = [*self._secrets[-99:], secret]

    def include(self, other: Redaction) -> None:
        """What the other one knows, also later."""
        self._others.append(other)

    def __call__(self, text: str) -> str:
        # The longest first: one may be the beginning of another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        for other in self._others:
            text = other(text)
        return text

    @contextmanager
    def of_errors(self) -> Iterator[None]:
        """Errors leave without the secrets, and without a cause that has them."""
        try:
            yield
        except ProcessorError as error:
            text = self(str(error))
            if text == str(error):
                raise
            hidden = type(error)(text)
            if isinstance(error, KafkaError) and isinstance(hidden, KafkaError):
                hidden.code, hidden.retriable = error.code, error.retriable
            raise hidden from None
