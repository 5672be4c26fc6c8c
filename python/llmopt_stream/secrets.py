"""Passwords and tokens, which no message, log or repr may show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from .errors import KafkaError, ProcessorError

__all__ = ["HIDDEN", "Redaction", "Secret", "is_secret_name"]

HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|credential|jaas|oauthbearer\.config|\.key$|\.pem$|_pem$"
)


class Secret(str):
    """Text that shows itself as `***`, also within other texts; `reveal()` gives it, and so does whatever reads
    the characters of a `str`: comparison, len(), files, the core.

    >>> password = Secret("hunter2")
    >>> f"{password}", password.reveal()
    ('***', 'hunter2')
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, text.reveal() if isinstance(text, Secret) else text)

    def reveal(self) -> str:
        return "".join(self)

    def __repr__(self) -> str:
        return repr(HIDDEN)

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)


def is_secret_name(name: str) -> bool:
    """Whether a property of this name holds a secret.

    >>> is_secret_name("sasl.password"), is_secret_name("client.id")
    (True, False)
    """
    return _SECRET_NAME.search(name.lower()) is not None


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
            text = text.replace(secret, HIDDEN)
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
