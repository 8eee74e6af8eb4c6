"""Keys and tokens of endpoints: only their digests are here, and comparing takes the same time for all of them."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence

NOBODY: Sequence[bytes] = (secrets.token_bytes(32), secrets.token_bytes(32))
"""What a key is compared with where there is no endpoint."""

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([\x21-\x7e]+)\Z")


def is_right(hashes: Sequence[bytes], tokens: Mapping[bytes, float], authorization: bytes, at: float) -> bool:
    """Whether it is one of the keys, or a token that has not ended; `at` in seconds since 1970.

    Every key is compared, whichever fits. Tokens are looked up by digest, which tells nothing about the secret.
    """
    found = _BEARER.match(authorization)
    digest = hashlib.sha256(found[1] if found is not None else authorization).digest()
    is_key = False
    for each in hashes or NOBODY:
        is_key |= hmac.compare_digest(each, digest)
    return found is not None and ((is_key and bool(hashes)) or tokens.get(digest, 0.0) > at)
