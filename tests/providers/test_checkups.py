"""The questions that show whether credentials work, as each adapter asks and understands them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from notifyctl.providers import registry
from notifyctl.providers.contract import Checkable, Response
from tests.providers.test_adapter_contract import CREDENTIALS, responses

ASKED_BY_HTTP = ("fcm", "sendgrid", "twilio")
WORKS = {
    "fcm": {"name": "projects/shop/messages/fake_message_id"},
    "sendgrid": {"scopes": ["mail.send"]},
    "twilio": {"status": "active"},
}

checkable = pytest.mark.parametrize("name", ASKED_BY_HTTP)


def test_every_adapter_of_ours_can_be_asked() -> None:
    """Whoever comes with notifyctl offers the question: `providers test` then never stops at the settings."""
    assert all(isinstance(registry.get(name), Checkable) for name in (*ASKED_BY_HTTP, "smtp"))


@checkable
@given(response=responses)
@settings(max_examples=50)
def test_any_answer_is_understood(name: str, response: Response) -> None:
    """Whatever is answered, nothing raises, and credentials are called good only by an answer that says so."""
    adapter = registry.get(name)
    assert isinstance(adapter, Checkable)
    problem = adapter.read_checkup(response)
    if problem is None:
        assert response.status == 200
        assert json.loads(response.body)
    else:
        assert problem
        problem.encode()


@checkable
def test_the_question_sends_nothing(name: str) -> None:
    """It is asked with the credentials, and either reads only or is marked not to be sent."""
    adapter = registry.get(name)
    assert isinstance(adapter, Checkable)
    request = adapter.checkup(CREDENTIALS[name])
    assert request.headers["Authorization"].split()[0] in ("Bearer", "Basic")
    assert request.url.startswith(adapter.default_url)
    assert request.method == "GET" or json.loads(request.body)["validate_only"] is True
    assert adapter.read_checkup(Response(200, {}, json.dumps(WORKS[name]).encode())) is None
