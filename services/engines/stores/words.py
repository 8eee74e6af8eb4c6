"""What a server said, for people: in one line, and without anything that opens a door."""

import re
from collections.abc import Collection
from urllib.parse import quote, quote_plus

_XML = re.compile(r"<Code>(?P<code>[^<]{1,200})</Code>(?:.*?<Message>(?P<message>[^<]{1,500}))?", re.DOTALL)
_QUERY = re.compile(r"(https?://[^\s?\"'()]*)\?[^\s\"'()]*")
_USER = re.compile(r"(https?://)[^\s/@]*@")
LONGEST = 400


def shown(text: str, secrets: Collection[str] = ()) -> str:
    """The words, shortened. Of an XML answer the code and the message are kept; queries of URLs are not."""
    if said := _XML.search(text):
        text = f"{said['code']}: {said['message']}" if said["message"] else said["code"]
    for secret in sorted(secrets, key=len, reverse=True):
        for form in {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}:
            if len(form) > 2:
                text = text.replace(form, "…")
    text = _USER.sub(r"\1", _QUERY.sub(r"\1", text))
    return " ".join(text.split())[:LONGEST].rstrip(" .:")
