"""Why a build failed: the line that matters, the cause in plain words, and what to try."""

import re
from dataclasses import dataclass

# What a builder writes before each attempt; earlier ones stand above it in the same file.
HEAD = "=== Build "
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MARKS = re.compile(r"\A[\s╰─▶×│]*(?:cause:|error:|ERROR:)?\s*")
_NO_PIP = (
    "cudatoolkit|cudnn|nccl|cuda-toolkit|(?:gcc|gxx|gfortran)[-_](?:impl[-_])?linux[-_]64|sysroot[-_]linux[-_]64"
    "|libgcc(?:-ng)?|libstdcxx(?:-ng)?|libgomp|openmp|blas|libblas|liblapack|openjdk|nodejs|r-[a-z0-9._-]+|ffmpeg-bin"
    "|pytorch-cuda|pytorch-mutex|cpuonly|nomkl|mkl_fft-base|libnetcdf|gdal-bin|poppler-bin|mamba|conda(?:-[a-z]+)?"
)


@dataclass(frozen=True)
class Diagnosis:
    """`line` is the log's own, `number` where it stands (from 1; 0: nowhere); `remedy` is what to try."""

    code: str
    line: str
    cause: str
    remedy: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.cause}: {_MARKS.sub('', self.line).strip()[:300].rstrip('.')}. {self.remedy}"


# The first that matches counts: the specific ones stand above what they cause further down a log.
_RULES = tuple(
    (code, re.compile(pattern, re.IGNORECASE), cause, remedy)
    for code, pattern, cause, remedy in (
        (
            "DiskFull",
            r"no space left on device|disk quota exceeded",
            "The disk is full",
            "Free some space: 'atelier environment prune' removes images that nothing uses.",
        ),
        (
            "OutOfMemory",
            (
                r"returned a non-zero code: 137|signal: 9|SIGKILL|^Killed$|exit (?:status|code):? 137"
                r"|MemoryError|Cannot allocate memory|virtual memory exhausted"
            ),
            "A step was killed, as the kernel does when memory runs out",
            "Give the engine more memory, or install fewer or smaller packages in one step.",
        ),
        (
            "HashMismatch",
            r"hash mismatch|DO NOT MATCH THE HASHES",
            "What was downloaded is not what its hash promises",
            "Correct the hash in the list; if it is right, somebody changed the file: do not install it.",
        ),
        (
            "Abi",
            (
                r"numpy\.dtype size changed|compiled using NumPy 1|_ARRAY_API not found|undefined symbol"
                r"|numpy\.core\.multiarray failed to import|binary incompatibility"
            ),
            "Packages were compiled against different versions of each other",
            "Pin numpy below 2 or raise the package that needs the old one.",
        ),
        (
            "Python",
            r"No module named '?(?:distutils|imp)'?|`(?:distutils|imp)` was removed",
            "A package is older than this Python and needs what was removed from it",
            "Choose an older Python in the conda file (python=3.11), or a newer version of the package.",
        ),
        (
            "NoCompiler",
            (
                r"No such file or directory: '?[\w./-]*?(?:gcc|cc|g\+\+|clang|cmake|gfortran|ninja|make)\b"
                r"|error: command '?[^ ]*(?:gcc|cc|g\+\+)'?|(?:gcc|cc|g\+\+|make|cmake): (?:command )?not found"
                r"|Unable to find a compiler|Unknown compiler\(s\)|Microsoft Visual C\+\+|can't find Rust compiler"
                r"|CMAKE_CXX_COMPILER not set|fatal error: [\w./]+\.h: No such file|pg_config executable not found"
            ),
            "A package has no wheel and what compiles it is not in the image",
            "Choose a version with a wheel, or an image with a compiler and its headers.",
        ),
        (
            "CondaOnly",
            (
                rf"Because (?:{_NO_PIP}) was not found in the package registry"
                rf"|(?:No matching distribution found|that satisfies the requirement) (?:for )?(?:{_NO_PIP})(?![\w-])"
            ),
            "This package is conda's own and pip does not know it",
            "Take it out (pip's wheels bring such libraries along), or name an image that holds conda.",
        ),
        (
            "Python",
            (
                r"current Python version \([^)]*\) does not satisfy|requires-python|requires python"
                r"|not supported on this Python|requires a different python|has no (?:usable )?wheels"
            ),
            "A package does not support this Python",
            "Choose another Python version in the conda file (python=3.11).",
        ),
        (
            "Certificate",
            (
                r"certificate verify failed|SSLError|invalid peer certificate|UnknownIssuer|x509:"
                r"|unable to get local issuer"
            ),
            "The certificate of the other side is not trusted",
            "Set PIP_CERT or SSL_CERT_FILE to your CA bundle before starting the studio; the engine has its own list.",
        ),
        (
            "Network",
            r"Retry\(total=0.*(?:Connect|Read|Resolution|Timeout)",
            "The network or the package index cannot be reached",
            "Check the network, and pip's settings on this host: builds use them.",
        ),
        (
            "NoVersion",
            (
                r"there (?:is|are) no versions? of|was not found in the package registry|only .* available"
                r"|No matching distribution found|Could not find a version|404 Client Error"
            ),
            "A package or version does not exist for this Python",
            "Check its name and version, or choose another Python version in the conda file.",
        ),
        (
            "Conflict",
            r"ResolutionImpossible|conflicting dependencies|Because .* depends on |unsatisfiable|cannot be satisfied",
            "Two packages ask for different versions of a third",
            "Loosen one of the pins that the line names.",
        ),
        (
            "BadRequirement",
            r"Failed to parse:|Invalid requirement|no such comparison operator",
            "A requirement cannot be read",
            "Write name, name==1.2 or name>=1.2.",
        ),
        (
            "NoRegistry",
            r"is not here and no registry answers",
            "The image is not on this host and no registry answers",
            "Map it to an image that is here in maps.yml, or load it with 'docker load'.",
        ),
        (
            "RateLimit",
            r"toomanyrequests|429 Too Many Requests",
            "The registry limits how often it is asked",
            "Wait, or use a mirror.",
        ),
        (
            "PullDenied",
            r"pull access denied|unauthorized|authentication required|denied: requested access",
            "The registry refused",
            "Check the image's name, or log in on this host with 'docker login'.",
        ),
        (
            "ImageNotFound",
            r"manifest (?:for .* )?(?:unknown|not found)|repository does not exist|manifest unknown",
            "The image does not exist",
            "Check its name and tag, or map it in maps.yml.",
        ),
        (
            "Network",
            (
                r"Temporary failure (?:in name resolution|resolving)|Name or service not known|dns error"
                r"|failed to lookup address|Connection refused|Connection timed out|Network is unreachable"
                r"|error sending request|no such host|Could not resolve|i/o timeout|ReadTimeoutError|ConnectTimeout"
            ),
            "The network or the package index cannot be reached",
            "Check the network, and pip's settings on this host: builds use them.",
        ),
        (
            "Apt",
            (
                r"E: Unable to locate package|has no installation candidate|E: Failed to fetch|is not signed"
                r"|does not have a Release file|apt(?:-get)?: (?:command )?not found|E: Unable to fetch some archives"
            ),
            "A system package could not be installed",
            "Run 'apt-get update' in the same step and check the name; base images made from this host hold no apt.",
        ),
        (
            "NoPython",
            (
                r"No Python was found|Python [\d.]+ was not found on this host|No interpreter found|No system Python"
                r"|python3?: (?:command )?not found"
            ),
            "The Python that is wished for is not there",
            "Name one that is there, or choose an image with Python.",
        ),
        (
            "Dockerfile",
            r"failed to parse dockerfile|unknown instruction|dockerfile parse error|names no image",
            "The Dockerfile cannot be read",
            "Correct the named line.",
        ),
        (
            "Dockerfile",
            r"^(?:COPY|ADD) failed|file not found in build context|holds no file",
            "A file that the Dockerfile names is not in the build context",
            "Check the path (it is relative to the context) and the .dockerignore.",
        ),
        (
            "Dockerfile",
            r"The command '.*' returned a non-zero code: \d+",
            "A step of the Dockerfile failed",
            "The lines above it in the build log say why.",
        ),
        ("Unknown", r"^error: |^ERROR: ", "The build failed", "The build log says more."),
    )
)


def diagnose(log: str) -> Diagnosis:
    """The most telling line of the last attempt in a build log."""
    whole = log.splitlines()
    first = max((place for place, line in enumerate(whole) if line.startswith(HEAD)), default=-1) + 1
    lines = [(place, _COLOURS.sub("", line)) for place, line in enumerate(whole[first:], first + 1) if line.strip()]
    for code, pattern, cause, remedy in _RULES:
        for number, line in lines:
            if pattern.search(line):
                return Diagnosis(code, line, cause, remedy, number)
    number, line = lines[-1] if lines else (0, "the log is empty")
    return Diagnosis("Unknown", line, "The build failed", "The build log says more.", number)
