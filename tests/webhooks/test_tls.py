"""https: the connection goes to the address, the certificate has to be the host's."""

import datetime as dt
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accounts.webhooks import sending
from tests.cast import Api
from tests.webhooks.receivers import attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of hooks.example.com with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example.com")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    encoding = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(made.public_bytes(encoding) + key.private_bytes(encoding, form, serialization.NoEncryption()))
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """A server on loopback that shows the certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who mistrusts us hangs up
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_the_certificate_is_checked_against_the_hosts_name(
    test_key: Api,
    port: int,
    certificate: Path,
    names: Callable[..., None],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = ["hooks.example.com", "other.example.com", "127.0.0.1"]
    names(hooks_example_com="127.0.0.1", other_example_com="127.0.0.1")

    def outcome(host: str) -> tuple[str, str]:
        hook = test_key.post("/webhooks", {"url": f"https://{host}:{port}/"}).json()
        attempt(test_key.post(f"/webhooks/{hook['id']}/test").json()["id"], 0)
        (row,) = test_key.get(f"/webhooks/{hook['id']}/deliveries").json()["data"]
        return row["status"], row["reason"]

    assert outcome("hooks.example.com") == ("pending", "The certificate is not valid: self-signed certificate")
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(sending, "_tls", lambda: trusting)
    assert outcome("hooks.example.com") == ("succeeded", None)
    assert outcome("other.example.com")[1].startswith("The certificate is not valid: Hostname mismatch")
    assert outcome("127.0.0.1")[1].startswith("The certificate is not valid: IP address mismatch")
