"""Why a build failed: the line that matters, the cause in plain words, and what to try."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """`line` is the log's own; `remedy` is what to try."""

    line: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.line.strip()[:300]}. {self.remedy}"


# The first that matches counts: the specific ones stand above what they cause further down a log.
_RULES = tuple(
    (re.compile(pattern, re.IGNORECASE), cause, remedy)
    for pattern, cause, remedy in (
        (
            r"no space left on device",
            "The disk is full",
            "Free some space ('docker system df' shows what images take).",
        ),
        (
            (
                r"(?:Because|And because|×).*(?:no version|there are no versions|unsatisfiable|cannot be satisfied)"
                r"|No matching distribution found|Could not find a version|not found in the package registry"
            ),
            "A package or version does not exist for this Python",
            "Check its name and version, or choose another Python version in the conda file.",
        ),
        (
            r"requires-python|requires python|Requires-Python|not supported on this Python",
            "A package does not support this Python",
            "Choose another Python version in the conda file (python=3.11).",
        ),
        (
            r"numpy\.dtype size changed|compiled using NumPy 1|_ARRAY_API not found|undefined symbol",
            "Packages were compiled against different versions of each other",
            "Pin numpy below 2 or raise the package that needs the old one.",
        ),
        (
            (
                r"error: command '?(?:gcc|cc|g\+\+|x86_64-linux-gnu-gcc)'?|(?:gcc|cc|g\+\+): (?:command )?not found"
                r"|Unable to find a compiler|Microsoft Visual C\+\+"
            ),
            "A package has no wheel and no compiler is in the image",
            "Choose a version with a wheel, or an image with a compiler.",
        ),
        (
            r"certificate verify failed|SSLError|invalid peer certificate|UnknownIssuer",
            "The certificate of the package index is not trusted",
            "Set PIP_CERT or SSL_CERT_FILE to your CA bundle before starting the studio.",
        ),
        (
            (
                r"Temporary failure in name resolution|Name or service not known|dns error|failed to lookup address"
                r"|Connection refused|Connection timed out|Network is unreachable|error sending request|no such host"
            ),
            "The network or the package index cannot be reached",
            "Check the network, and pip's settings on this host: builds use them.",
        ),
        (
            r"pull access denied|unauthorized|authentication required",
            "The registry refused",
            "Log in on this host with 'docker login'.",
        ),
        (
            r"toomanyrequests|429 Too Many Requests",
            "The registry limits how often it is asked",
            "Wait, or use a mirror.",
        ),
        (
            r"manifest (?:for .* )?(?:unknown|not found)|repository does not exist",
            "The image does not exist",
            "Check its name and tag, or map it in maps.yml.",
        ),
        (
            r"failed to parse dockerfile|unknown instruction|dockerfile parse error",
            "The Dockerfile cannot be read",
            "Correct the named line.",
        ),
        (
            r"The command '.*' returned a non-zero code: \d+",
            "A step of the Dockerfile failed",
            "The lines above it in the build log say why.",
        ),
        (r"^error: |^ERROR: ", "The build failed", "The build log says more."),
    )
)


def diagnose(log: str) -> Diagnosis:
    """The most telling line of a build log."""
    lines = [line for line in log.splitlines() if line.strip()]
    for pattern, cause, remedy in _RULES:
        for line in lines:
            if pattern.search(line):
                return Diagnosis(line, cause, remedy)
    return Diagnosis(lines[-1] if lines else "the log is empty", "The build failed", "The build log says more.")
