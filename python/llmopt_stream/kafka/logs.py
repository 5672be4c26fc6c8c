"""librdkafka's log, as the logger "llmopt_stream.kafka"."""

from __future__ import annotations

import logging
from typing import Protocol

from llmopt_stream.secrets import Redaction

__all__ = ["pass_on_log"]

_LOGGER = logging.getLogger("llmopt_stream.kafka")
_SYSLOG_WARNING, _SYSLOG_ERROR = 4, 3


class _HasLog(Protocol):
    def take_log(self) -> list[tuple[int, str]]: ...


def pass_on_log(client: _HasLog, redaction: Redaction) -> None:
    """The lines since the last call, without secrets."""
    for severity, text in client.take_log():
        level = (
            logging.ERROR
            if severity <= _SYSLOG_ERROR
            else logging.WARNING
            if severity == _SYSLOG_WARNING
            else logging.DEBUG
        )
        _LOGGER.log(level, "%s", redaction(text))
