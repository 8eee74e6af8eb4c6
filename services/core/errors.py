"""The five things that can go wrong, as sentences to the person who asked.

AtelierError
├── NotFound       not here, or not visible to you (404, exit 3)
├── Denied         known, but your role does not allow it (403, exit 4)
├── Invalid        malformed; `where` says the place (422, exit 2)
├── Conflict       right request, wrong moment (409, exit 5)
└── EngineError    the world outside failed (502, exit 6)
    └── Unavailable    … for now; the worker retries (503, exit 6)
"""


class AtelierError(Exception):
    """Something went wrong."""

    code = "Error"
    status = 500
    exit_code = 1

    def __init__(self, message: str | None = None, *, where: str | None = None, hint: str | None = None) -> None:
        """`where` is `file:line` or a field path; `hint` is what would be right."""
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.where = where
        self.hint = hint
        self.details: list[str] = []

    @property
    def message(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"


class NotFound(AtelierError):
    """Not found."""

    code, status, exit_code = "NotFound", 404, 3


class Denied(AtelierError):
    """You are not allowed to do this."""

    code, status, exit_code = "Denied", 403, 4


class Invalid(AtelierError):
    """This is not valid."""

    code, status, exit_code = "Invalid", 422, 2


class Conflict(AtelierError):
    """This cannot be done now."""

    code, status, exit_code = "Conflict", 409, 5


class EngineError(AtelierError):
    """The engine failed."""

    code, status, exit_code = "EngineError", 502, 6


class Unavailable(EngineError):
    """The engine does not answer."""

    code, status = "Unavailable", 503
