"""Schema Registry: where it is, and the schemas that it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from llmopt_stream._optional import needs
from llmopt_stream.errors import ConfigurationError, KafkaError, SerializationError
from llmopt_stream.secrets import Secret

from .files import check_files

__all__ = [
    "EXTRA",
    "NotInRegistryError",
    "RegistrySchemas",
    "SchemaRegistryConfig",
    "check_registry_url",
    "one_line",
]

EXTRA = "schema-registry"
_RETRIES = 6
_FIRST_RETRY_MS = 250
_LONGEST_RETRY_MS = 5_000
_NOT_FOUND = (40401, 40402, 40403)
"""A registry's codes of what it does not have: subject, version, schema. 404 alone says that no registry is there."""
_BUSY = (408, 429)
_SERVER_ERRORS = 500
_MOST_SHOWN = 200


def check_registry_url(text: str) -> None:
    """A ConfigurationError where it is no URL, nor several; it does not quote them: they may have a password."""
    # A password may have characters that end a host.
    if "@" in str(text):
        raise ConfigurationError("say username and password by themselves")
    if not all(map(_is_url, str(text).split(","))):
        raise ConfigurationError("expected e.g. 'http://localhost:8081'")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class SchemaRegistryConfig:
    """Where schemas are.

    >>> SchemaRegistryConfig(url="http://localhost:8081").timeout_ms
    10000
    """

    url: str
    """One or several, with commas between them."""
    username: str | None = None
    password: str | None = None
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    """Of mutual TLS, with its key."""
    ssl_key_location: str | None = None
    ssl_key_password: str | None = None
    timeout_ms: int = 10_000
    """How long an answer may take. A registry that is away is asked seven times, with pauses of at most 13 s together;
    then the run fails."""

    def __post_init__(self) -> None:
        try:
            check_registry_url(self.url)
        except ConfigurationError as error:
            raise ConfigurationError(f"SchemaRegistryConfig: url: {error}") from None
        if (self.username is None) != (self.password is None):
            raise ConfigurationError("SchemaRegistryConfig: username and password belong together")
        if type(self.timeout_ms) is not int or self.timeout_ms < 1:
            raise ConfigurationError(f"SchemaRegistryConfig: timeout_ms: {self.timeout_ms!r} is not positive")
        for secret in ("password", "ssl_key_password"):
            value = getattr(self, secret)
            object.__setattr__(self, secret, None if value is None else Secret(value))

    def secrets(self) -> list[Secret]:
        """Those among the settings."""
        return [Secret(each) for each in (self.password, self.ssl_key_password) if each is not None]

    def check_files(self) -> None:
        """A ConfigurationError names a file that is not there."""
        check_files(
            "SchemaRegistryConfig",
            {
                "ssl_ca_location": self.ssl_ca_location,
                "ssl_certificate_location": self.ssl_certificate_location,
                "ssl_key_location": self.ssl_key_location,
            },
        )

    def client(self) -> Any:
        """A client of confluent-kafka's."""
        registry = needs("confluent_kafka.schema_registry", EXTRA)
        said = {
            "url": self.url,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": _revealed(self.ssl_key_password),
            "basic.auth.user.info": None
            if self.username is None
            else f"{self.username}:{_revealed(self.password)}",
            "timeout": self.timeout_ms / 1000,
            "max.retries": _RETRIES,
            "retries.wait.ms": _FIRST_RETRY_MS,
            "retries.max.wait.ms": _LONGEST_RETRY_MS,
        }
        return registry.SchemaRegistryClient(
            {name: value for name, value in said.items() if value is not None}
        )


class NotInRegistryError(SerializationError):
    """The registry has no such schema, or none yet."""


class RegistrySchemas:
    """Schemas of a registry, with those that they refer to. KafkaError where it does not answer."""

    def __init__(self, config: SchemaRegistryConfig) -> None:
        self._url = config.url
        self._client = config.client()
        self._error = needs("confluent_kafka.schema_registry.error", EXTRA).SchemaRegistryError

    def close(self) -> None:
        self._client.__exit__()

    def by_id(self, number: int) -> Any:
        return self._asked(f"schema {number}", lambda: self._client.get_schema(number))

    def referred(self, schema: Any) -> list[tuple[str, Any]]:
        """(name, schema) of what it refers to, each after those that it refers to itself."""
        found: dict[str, Any] = {}
        self._collect(schema, found)
        return list(found.items())

    def _collect(self, schema: Any, found: dict[str, Any]) -> None:
        for reference in schema.references or ():
            if reference.name in found:
                continue
            referred = self._version(reference.subject, reference.version)
            self._collect(referred, found)
            found[reference.name] = referred

    def _version(self, subject: str, version: int) -> Any:
        return self._asked(
            f"version {version} of subject {subject!r}",
            lambda: self._client.get_version(subject, version).schema,
        )

    def _asked(self, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self._error as error:
            if error.error_code in _NOT_FOUND:
                raise NotInRegistryError(f"the Schema Registry has no {what}") from None
            status = error.http_status_code
            raise self._failure(what, error, retriable=status in _BUSY or status >= _SERVER_ERRORS) from None
        except Exception as error:  # noqa: BLE001 - whatever its HTTP client raises
            raise self._failure(what, error, retriable=True) from None

    def _failure(self, what: str, error: Exception, *, retriable: bool) -> KafkaError:
        why = one_line(str(error)) or type(error).__name__
        failure = KafkaError(f"Schema Registry {self._url}: {what}: {why}")
        failure.retriable = retriable
        return failure


def one_line(text: str) -> str:
    """A text that may have all of a payload in it, as a log takes it."""
    start = "".join(each if each.isprintable() else " " for each in text[: _MOST_SHOWN + 1])
    return (
        " ".join(start.split())
        if len(start) <= _MOST_SHOWN
        else f"{' '.join(start.split())[: _MOST_SHOWN - 1]}…"
    )


def _revealed(secret: str | None) -> str | None:
    return secret.reveal() if isinstance(secret, Secret) else secret
