"""Whom TLS trusts."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi


def trust(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name. Reads files, which takes some 20 ms.

    Trusted are the authorities in `ca_file`, else the system's, which SSL_CERT_FILE and SSL_CERT_DIR replace as in any
    program that uses OpenSSL. Where the system has none, as in slim images, Mozilla's are, as certifi carries them.
    Raises OSError where `ca_file`, or what the environment names, has none.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is None and not context.cert_store_stats()["x509_ca"] and not _has_folder():
        if named := {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
            raise OSError(f"no certificate authorities where {' and '.join(sorted(named))} says")
        context.load_verify_locations(certifi.where())
    return context


def _has_folder() -> bool:
    """Return whether there is a folder of certificates, named by hash, of which OpenSSL reads each when it needs it."""
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(Path(folder).glob("*.[0-9]"))
