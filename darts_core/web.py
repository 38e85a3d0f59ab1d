"""Plain web servers, asked with time-outs and retries, and never led into the network of this machine."""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from requests import Response, Session
    from urllib3.util import Retry

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
RETRIES = 4
"""Further attempts after a failed request, each after twice the pause of the one before."""
PAUSE = 0.5
"""Seconds before the second further attempt."""

_BUSY = (429, 500, 502, 503, 504)
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET = re.compile(
    r"(?i)(?<=[?&])((?:[\w-]*(?:signature|credential|token|secret|password|key)|sig|pwd)=)[^&\s'\"<>)]+"
)


def retries() -> Retry:
    """The policy of `RETRIES` and `PAUSE` for searches and downloads: what is asked changes nothing over there."""
    from urllib3.util import Retry

    return Retry(
        total=RETRIES,
        backoff_factor=PAUSE,
        backoff_max=TIMEOUT,
        backoff_jitter=PAUSE,
        status_forcelist=_BUSY,
        allowed_methods=None,
        raise_on_status=False,
        retry_after_max=round(TIMEOUT),
    )


@lru_cache(maxsize=1)
def session() -> Session:
    """The HTTP session of this process; it follows no redirect that leads inside."""
    from requests import Session
    from requests.adapters import HTTPAdapter

    opened = Session()
    guard_redirects(opened)
    for scheme in ("http://", "https://"):
        opened.mount(scheme, HTTPAdapter(max_retries=retries(), pool_maxsize=16))
    return opened


def guard_redirects(opened: Session) -> None:
    """Make a session refuse, with an OSError, to be sent into the network of this machine by a server elsewhere."""

    def check(response: Response, **_: Any) -> None:
        if response.is_redirect:
            _check_redirect(response.url, urljoin(response.url, response.headers["Location"]))

    opened.hooks["response"].append(check)


def _check_redirect(url: str, target: str) -> None:
    asked, named = urlsplit(url), urlsplit(target)
    if named.scheme not in ("http", "https") or not named.hostname:
        raise OSError(f"{without_secrets(url)} redirects to {without_secrets(target)!r}, which is no web address")
    if named.hostname != asked.hostname and leads_inside(named.hostname, str(asked.hostname)):
        raise OSError(
            f"{without_secrets(url)} redirects to {without_secrets(target)!r}, in the network of this machine; it is "
            "not followed"
        )


def leads_inside(host: str, source: str) -> bool:
    """Whether `host`, which a document or server at the host `source` names, lies in the network of this machine.

    A name for an inside address is followed where the source lies inside too, as in a network with servers of its own.
    """
    return is_inside(host) or (_resolves_inside(host) and not (is_inside(source) or _resolves_inside(source)))


def is_inside(host: str) -> bool:
    """Whether a host by what it is called is loopback, private or link-local."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return _is_odd_address(host)


def _is_odd_address(host: str) -> bool:
    """Whether it is an address in a spelling of C's inet_aton (``0x7f.1``, ``2130706433``), which clients resolve."""
    try:
        return not ipaddress.ip_address(socket.inet_aton(host)).is_global
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=256)
def _resolves_inside(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # what has no address cannot be asked either; a proxy may know better than this machine
        return False
    return any(not ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found)


def without_secrets(text: str) -> str:
    """A text for people, in which URLs have no user, password, signature or token."""
    return _SECRET.sub(r"\1***", _USER.sub("", text))
