"""Signing in at the hub on loopback, as Gradio asks for it on a Space: OpenID Connect with a code."""

import json
import secrets
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs, urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from itsdangerous import TimestampSigner
from loopback_hub import LoopbackHub, Session

CLIENT, CLIENT_SECRET, SCOPES = "plantain-app", "plantain-secret", "openid profile write-repos write-discussions"

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _url64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _public_key() -> dict[str, str]:
    numbers = KEY.public_key().public_numbers()
    return {"kty": "RSA", "kid": "loopback", "use": "sig", "alg": "RS256", "n": _url64(numbers.n.to_bytes(256)),
            "e": _url64(numbers.e.to_bytes(3))}  # fmt: skip


def _signed(claims: dict) -> str:
    """Return a JSON Web Token."""
    parts = {"alg": "RS256", "kid": "loopback"}, claims
    text = ".".join(_url64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_url64(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@dataclass
class Provider:
    """Signs people in: `person` is who sits at the browser, and grants `scopes` for `seconds`.

    With `person` empty the sign-in is cancelled. `given` codes and `tokens` must be seen in no log.
    """

    hub: LoopbackHub
    person: str = ""
    scopes: str = SCOPES
    seconds: int = 3600
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub.oauth = self.answer

    def environment(self) -> dict[str, str]:
        """What a Space with `hf_oauth: true` has in its environment, and where its hub is."""
        return {
            "SYSTEM": "spaces", "SPACE_ID": "bob/plantain", "OAUTH_CLIENT_ID": CLIENT,
            "OAUTH_CLIENT_SECRET": CLIENT_SECRET, "OAUTH_SCOPES": SCOPES, "OPENID_PROVIDER_URL": self.hub.url,
            "HF_ENDPOINT": self.hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip

    def answer(self, request, path: str):
        """Answer a request for an address of the provider; nothing for any other."""
        url = self.hub.url
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": url, "authorization_endpoint": f"{url}/oauth/authorize",
                         "token_endpoint": f"{url}/oauth/token", "jwks_uri": f"{url}/oauth/jwks",
                         "userinfo_endpoint": f"{url}/oauth/userinfo",
                         "id_token_signing_alg_values_supported": ["RS256"]}, {}  # fmt: skip
        if path == "/oauth/jwks":
            return 200, {"keys": [_public_key()]}, {}
        if path == "/oauth/authorize":
            return self._authorize({name: values[0] for name, values in request.query.items()})
        if path == "/oauth/token":
            given = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            return self._token(given, request.headers.get("authorization") or "")
        return None

    def _authorize(self, asked: dict[str, str]):
        assert asked["client_id"] == CLIENT and asked["scope"] == SCOPES
        if self.person:
            code = f"code-{secrets.token_hex(8)}"
            self.codes[code] = self.person, asked.get("nonce", "")
            self.given.append(code)
            said = {"code": code}
        else:
            said = {"error": "access_denied", "error_description": "The user said no."}
        joint = "&" if "?" in asked["redirect_uri"] else "?"
        return 302, b"", {"Location": f"{asked['redirect_uri']}{joint}{urlencode({**said, 'state': asked['state']})}"}

    def _token(self, given: dict[str, str], authorization: str):
        assert b64decode(authorization.removeprefix("Basic ")).decode() == f"{CLIENT}:{CLIENT_SECRET}"
        name, nonce = self.codes.pop(given["code"])
        token = self.grant(name)
        person = {"sub": name, "name": name.title(), "preferred_username": name, "profile": f"{self.hub.url}/{name}",
                  "picture": ""}  # fmt: skip
        claims = {**person, "iss": self.hub.url, "aud": CLIENT, "nonce": nonce, "iat": int(time.time()),
                  "exp": int(time.time()) + 600}  # fmt: skip
        return 200, {"access_token": token, "token_type": "bearer", "expires_in": self.seconds, "scope": self.scopes,
                     "id_token": _signed(claims)}, {"Content-Type": "application/json"}  # fmt: skip

    def grant(self, name: str) -> str:
        """Give out a token for an account."""
        token = f"hf_oauth_{name}_{secrets.token_hex(12)}"
        self.hub.sessions[token] = Session(name, frozenset(self.scopes.split()))
        self.tokens.append(token)
        return token


def cookie(info: dict) -> str:
    """Sign a session as the Space does that knows the client's secret: what Gradio keeps in the browser."""
    signer = TimestampSigner(sha256(f"{CLIENT_SECRET}-v4".encode()).hexdigest())
    return signer.sign(b64encode(json.dumps(info).encode())).decode()
