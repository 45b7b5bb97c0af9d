"""Logs as JSON, one object a line, on standard error.

{"time": "2026-11-29T11:02:03.456Z", "level": "info", "logger": "counterfoil.http",
"message": "answered", "request": "…", "method": "POST", "route": "/entries", …}
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

FIELDS = "fields"
"""Under this name a record carries what stands beside the message."""


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, in ASCII: no value can steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Write it."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def logging_config() -> dict[str, Any]:
    """Give what `logging.config.dictConfig` takes, for all loggers of a server process."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "counterfoil.http.logs.JsonLines"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "counterfoil": {"level": "INFO"},
            "_granian": {"level": "WARNING"},
            "py.warnings": {"level": "WARNING"},
        },
    }
