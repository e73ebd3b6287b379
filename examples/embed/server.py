#!/usr/bin/env python3
"""The smallest application that shows Terang in a page of its own: Python's standard library alone.

It knows who its people are (here they only say so), signs a token for whoever is there, and hands it
to the page. The secret stays on this side.

    TERANG_EMBED_SECRET=... python3 server.py --terang http://127.0.0.1:8080 --app 0198...
"""

import argparse
import base64
import hashlib
import hmac
import html
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LIFE_S = 120
PEOPLE = {"ani": "Ani", "budi": "Budi"}
PAGE = (Path(__file__).parent / "index.html").read_text(encoding="utf-8")


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(app: str, secret: str, person: str) -> str:
    """A JSON Web Token for one opening of the chat: whose it is, for which application, until when."""
    now = int(time.time())
    claims = {"aud": app, "sub": person, "name": PEOPLE[person], "iat": now, "exp": now + LIFE_S}
    head = part(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{head}.{part(json.dumps(claims).encode())}"
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(signature)}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802 (the library's name)
        address = urlsplit(self.path)
        # A real application has its people log in; nothing here checks who asks.
        person = parse_qs(address.query).get("as", ["ani"])[0]
        if person not in PEOPLE:
            self.answer(404, "text/plain", "nobody is called so")
        elif address.path == "/":
            self.answer(200, "text/html", self.page(person))
        elif address.path == "/token":
            fresh = token(self.server.app, self.server.secret, person)
            self.answer(200, "application/json", json.dumps({"token": fresh}))
        else:
            self.answer(404, "text/plain", "there is nothing here")

    def page(self, person: str) -> str:
        page = PAGE.replace("{terang}", html.escape(self.server.terang, quote=True))
        page = page.replace("{app}", html.escape(self.server.app, quote=True))
        return page.replace("{person}", html.escape(person, quote=True))

    def answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--terang", default="http://127.0.0.1:8080", help="where Terang is")
    parser.add_argument("--app", required=True, help="the application's identity, from Administration, Embedding")
    parser.add_argument("--port", type=int, default=3000)
    given = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    server.terang = given.terang.rstrip("/")
    server.app = given.app
    server.secret = os.environ["TERANG_EMBED_SECRET"]
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
