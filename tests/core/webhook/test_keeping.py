"""A webhook's secrets at rest: any 24 bytes fit their columns, and open nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.errors import NotAllowed
from notifyctl.core.sealing import Keyring
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.signing import SECRET_BYTES
from notifyctl.core.webhook.webhook import PREVIOUS_SECRET, Webhook
from notifyctl.store.schema.tables import notification_webhooks

ID = "3f9c2a71-4b4b-4b4b-8b8b-123456789012"
RING = Keyring({"longid": bytes(range(64))})
SECRETS = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


@given(SECRETS)
def test_any_secret_fits_its_column_and_opens_again(secret: bytes) -> None:
    """Those that are no text too, sealed by a key with the longest id."""
    sealed = keeping.sealed(RING, secret, keeping.place(ID))
    assert len(sealed) <= notification_webhooks.c.secret_key.type.length
    assert RING.open_bytes(sealed, keeping.place(ID)) == secret
    with pytest.raises(NotAllowed):
        RING.open_bytes(sealed, keeping.place(ID, PREVIOUS_SECRET))


@given(SECRETS, SECRETS)
def test_during_a_rotation_both_sign(new: bytes, old: bytes) -> None:
    """The newest first; from the grace's end on the previous one is not even opened."""
    webhook = Webhook(ID, ID, "n", "https://example.org", keeping.sealed(RING, new, keeping.place(ID)), (), 1, 1)
    assert keeping.secrets(webhook, RING, 1_000) == (new,)
    previous = keeping.sealed(RING, old, keeping.place(ID, PREVIOUS_SECRET))
    both = replace(webhook, previous_secret=previous, previous_secret_ends=1_000)
    assert keeping.secrets(both, RING, 999) == (new, old)
    assert keeping.secrets(replace(both, previous_secret="gone"), RING, 1_000) == (new,)


def test_what_is_no_text_does_not_open_as_one() -> None:
    """Whoever takes bytes for a text is told which row, and gets no error of a codec."""
    sealed = RING.seal_bytes(b"\xff" * SECRET_BYTES, keeping.place(ID))
    with pytest.raises(NotAllowed, match=ID):
        RING.open(sealed, keeping.place(ID))
