"""The key that signs: made at the first start, and kept in a state folder that only its owner can read."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.errors import LocalCloudError

KEY_FILE = "identity.pem"
KEY_BITS = 2_048
PUBLIC_EXPONENT = 65_537
OWNER_ALONE = 0o600


class IdentityKeyUnusable(LocalCloudError):
    """The file of the signing key holds something else."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"The signing key {path} cannot be used: {why}. Delete the file, and a new key is made at the next start."
        )


def load_key(folder: Path) -> rsa.RSAPrivateKey:
    """The folder's RSA key; the first of the processes that start together makes it, and all use the same one."""
    path = folder / KEY_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _publish(path, rsa.generate_private_key(PUBLIC_EXPONENT, KEY_BITS))
    path.chmod(OWNER_ALONE)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityKeyUnusable(path, str(error) or type(error).__name__) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise IdentityKeyUnusable(path, "it is not an RSA key")
    return key


def _publish(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Writes a key as a whole or not at all; a key that another process wrote meanwhile stays."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ALONE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
