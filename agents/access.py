"""Who may write and who may read: tokens, the cookie of a page, and this machine alone where no token is set.

Tokens are compared in constant time. Where a browser would send credentials by itself (a cookie, or none being needed)
the page must be ours: another site's page, or a foreign name for this machine, is refused.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from agents.settings import Settings
from stream.errors import OperatorError

COOKIE: Final = "liveroom_view"
COOKIE_AGE_S = 12 * 3600  # the longest day in a studio
RETRY_AFTER_S = 2


class Problem(Exception):
    """An answer other than success: its status, `error` for programs, `hint` for people."""

    def __init__(self, status: int, error: str, hint: str, retry: bool = False, **more: Any) -> None:
        super().__init__(error)
        self.status = status
        self.body: Mapping[str, Any] = {"error": error, "hint": hint} | more
        self.headers = {"Retry-After": str(RETRY_AFTER_S)} if retry else {}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


class Access:
    """The tokens of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token
        self._view_token = settings.view_token
        # The cookie proves that its holder knew the token; the token itself is in no cookie.
        self._cookie = hmac.digest(self._view_token.encode(), b"liveroom view cookie", hashlib.sha256).hex()

    def admit_writer(self, request: web.Request) -> None:
        """May this request write events? Raises Problem."""
        if not self._token:
            _admit_neighbour(request)
        elif not _same(_bearer(request), self._token):
            raise _unauthorised("LIVEROOM_TOKEN")

    def admit_viewer(self, request: web.Request) -> None:
        """May this request read, and answer prompts? Raises Problem."""
        token = self._view_token
        if not token:
            _admit_neighbour(request)
        elif _same(_bearer(request), token) or _same(request.query.get("token"), token):
            return
        elif _same(request.cookies.get(COOKIE), self._cookie):
            _same_origin(request)
        else:
            raise _unauthorised("LIVEROOM_VIEW_TOKEN")

    def remember_viewer(self, request: web.Request, response: web.Response) -> None:
        """Leave the cookie that spares the page its token in every address."""
        if self._view_token:
            response.set_cookie(
                COOKIE, self._cookie, max_age=COOKIE_AGE_S, httponly=True, samesite="Strict", secure=request.secure
            )


def check_exposure(settings: Settings) -> None:
    """Raises OperatorError when others could reach the gateway and a token is empty."""
    empty = [name for name in ("token", "view_token") if not getattr(settings, name)]
    if empty and not is_loopback(settings.gateway_host):
        variables = " and ".join(f"LIVEROOM_{name.upper()}" for name in empty)
        raise OperatorError(
            f"others can reach {settings.gateway_host or 'every address'}, and an empty token lets everybody in; "
            f"set {variables} to a long random text, or LIVEROOM_GATEWAY_HOST to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Does this host name or address mean this machine alone?

    >>> is_loopback("localhost"), is_loopback("127.0.0.9"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _admit_neighbour(request: web.Request) -> None:
    try:
        host = request.url.host or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise Problem(403, "foreign_host", "to serve other names, set LIVEROOM_TOKEN and LIVEROOM_VIEW_TOKEN")
    _same_origin(request)


def _same_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != request.host.lower():
        raise Problem(403, "foreign_origin", "another site's page needs the token in an Authorization header")


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _same(given: str | None, wanted: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _unauthorised(variable: str) -> Problem:
    return Problem(401, "unauthorised", f"send the value of {variable} as `Authorization: Bearer …`")
