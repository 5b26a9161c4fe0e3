"""A release signed with a secret: who may write the models' folder may then still not change who decides.

The release vouches for each manifest in service and a manifest for its files, so one signature covers all.
The secret is optional, and read by whoever writes a release and by whoever acts on one.
"""

import hmac

import msgspec

from contracts.errors import ModelError
from inference.release.release import Release


def signed(release: Release, secret: str) -> Release:
    """Return the release with its signature (HMAC-SHA-256); without a secret as it is.

    >>> signed(Release(revision=1), "").signature
    ''
    >>> check_signature(signed(Release(revision=1), "s"), "s", "here")
    """
    return msgspec.structs.replace(release, signature=_of(release, secret)) if secret else release


def check_signature(release: Release, secret: str, where: str) -> None:
    """Refuse a release that the secret did not sign; without a secret everything is taken.

    Raises:
        ModelError: E_MODEL_SIGNATURE.
    """
    if not secret or hmac.compare_digest(release.signature, _of(release, secret)):
        return
    what = "signed with another secret, or changed since" if release.signature else "not signed"
    raise ModelError(
        "E_MODEL_SIGNATURE", what, where, "promote with the HEADRACE_MODELS_SECRET that the scorers have"
    )


def _of(release: Release, secret: str) -> str:
    unsigned = msgspec.json.encode(msgspec.structs.replace(release, signature=""), order="deterministic")
    return hmac.new(secret.encode(), unsigned, "sha256").hexdigest()
