"""Certificates and proxies: what the environment says of the network is honoured."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadwise.datasets.download import download
from leadwise.datasets.tree_writer import DownloadError

Serve = Callable[[Path], Any]

SIGNAL = "records100/00000/00007_lr.dat"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed but itself, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    file = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(file)),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (tmp_path / "key.pem").read_text())
    return file


def test_only_a_certificate_that_is_trusted_will_do(
    serve: Serve, published: Path, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, dest = serve(published), tmp_path / "ptbxl"
    server.encrypt(certificate)
    with pytest.raises(DownloadError, match=r"certificate verify failed"):
        download(dest, sources=[server.url], backoff_s=0.001)
    assert not server.asked
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert download(dest, sources=[server.url]).fetched == 43


def test_an_encrypted_source_does_not_send_on_to_one_that_is_not(
    serve: Serve, published: Path, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, plain = serve(published), serve(published)
    server.encrypt(certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server.always[SIGNAL] = server.status(302, Location=plain.url + SIGNAL)
    with pytest.raises(DownloadError, match=f"{SIGNAL}: .* sent on to 'http://127.* which is not encrypted"):
        download(tmp_path / "ptbxl", sources=[server.url])
    server.forget()
    server.script[SIGNAL].append(server.status(302, Location=server.url + SIGNAL))
    assert download(tmp_path / "ptbxl", sources=[server.url]).fetched == 1


def test_a_proxy_is_asked(serve: Serve, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(published)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert download(tmp_path / "ptbxl", sources=["http://ptb-xl.invalid/"]).fetched == 43
    assert sum(proxy.asked.values()) == 44
