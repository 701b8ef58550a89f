"""An authority of the tests' own, and what it signs."""

import shutil
import subprocess
from pathlib import Path

from tests.servers import MissingServerError


class Authority:
    """Signs certificates for servers and clients."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}-key.pem"
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def sign(self, name: str, subject: str) -> tuple[Path, Path]:
        """Certificate and key for a host, such as ``DNS:redis.example.com`` or ``IP:127.0.0.1``."""
        request, made, key = (self._directory / f"{name}{end}" for end in (".csr", ".pem", "-key.pem"))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject}\n")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl(
            "x509", "-req", "-days", "2", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-extfile", extensions, "-out", made,
        )  # fmt: skip
        return made, key


def _openssl(*words: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise MissingServerError("openssl is not installed")
    subprocess.run([program, *map(str, words)], check=True, capture_output=True)
