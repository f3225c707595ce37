"""A URL is read strictly: what two readers could read in two ways is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
import yarl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.core.webhook.target import Receiver, host_of, target

GOOD = {
    "https://example.org": "https://example.org/",
    "https://example.org/": "https://example.org/",
    "HTTPS://EXAMPLE.org/Path?q=%2F&x=1": "https://example.org/Path?q=%2F&x=1",
    "https://example.org.:443/a": "https://example.org/a",
    "https://example.org:8443/a": "https://example.org:8443/a",
    "https://bücher.example/a": "https://xn--bcher-kva.example/a",
    "https://1.1.1.1/a": "https://1.1.1.1/a",
    "https://[2606:4700:4700::1111]/a": "https://[2606:4700:4700::1111]/a",
    "https://example.org?x": "https://example.org?x",
    "https://hooks_a.example.org/a;b=c,d:e@f": "https://hooks_a.example.org/a;b=c,d:e@f",
}
BAD = (
    *(
        "",
        "x",
        "example.org",
        "ftp://example.org",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https:///a",
    ),
    *("http://example.org/", "https://user@example.org/", "https://user:pw@example.org/", "https://@example.org/"),
    *("https://example.org/#a", "https://example.org\\@127.0.0.1/", "https://127.0.0.1\\.example.org/"),
    *("https://exa mple.org/", "https://example.org/a b", "https://example.org/\r\nHost: x", "https://example.org/\t"),
    *("https://example.org:22/", "https://example.org:0/", "https://example.org:65536/", "https://example.org:/"),
    *("https://example.org:80/", "https://example.org:25/", "https://example.org:443:443/"),
    *("https://127.0.0.1/", "https://localhost:22/", "https://10.0.0.1/", "https://169.254.169.254/latest"),
    *("https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/"),
    *("https://017700000001/", "https://127.0.0.1./", "https://0/", "https://1.1.1/", "https://256.1.1.1/"),
    *("https://1.1.1.1.1/", "https://0x/", "https://example.0x1/", "https://example.1/", "https://1.1.1.01/"),
    *("https://①②⑦.⓪.⓪.①/", "https://１２７.0.0.1/", "https://127。0。0。1/", "https://example.org／@x/"),
    *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[::1/", "https://[]/"),
    *("https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[::127.0.0.1]/", "https://[1.1.1.1]/"),
    *("https://-.example/", "https://a..b/", "https://.example/", "https://exam%70le.org/", "https://example.org%00/"),
    *(
        "https://" + "a" * 64 + ".org/",
        "https://example.org/" + "a" * 500,
        "https://a\u200bb.org/\u2028",
        "https://\x00/",
    ),
    *(
        "//example.org/",
        "https:example.org",
        "https:/example.org",
        " https://",
        "https://example.org/é",
        "https://ex[a]/",
    ),
    # Letters that are "s" and "k" to who compares them without case.
    *("httpſ://example.org/", "HTTPſ://127.0.0.1/", "https://example.org/ſ", "https://example.org/?\u212a=1"),
)


@pytest.mark.parametrize(("text", "url"), GOOD.items())
def test_what_is_plainly_a_url_is_taken(text: str, url: str) -> None:
    """And requested as it is written here, with its host in ASCII."""
    assert target(text).url == url
    assert target(url).url == url


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused(text: str) -> None:
    """Without repeating it: a webhook's URL may be a secret itself."""
    with pytest.raises(UsageError) as refused:
        target(text)
    assert "the webhook's URL" in refused.value.message
    assert len(text) < 12 or text not in refused.value.message


@pytest.mark.parametrize(
    "text",
    ["http://127.0.0.1:8080/a", "http://localhost:1/", "https://[::1]:9/", "http://a.localhost/", "http://127.0.0.2/"],
)
def test_this_machine_is_named_only_where_the_profile_says_so(text: str) -> None:
    """For `webhooks listen`, and for tests."""
    assert isinstance(target(text, loopback=True), Receiver)
    with pytest.raises(UsageError):
        target(text)


@pytest.mark.parametrize(
    "text", ["http://10.0.0.1/", "http://example.org/", "https://169.254.169.254/", "https://a.org:22/"]
)
def test_loopback_allows_nothing_else(text: str) -> None:
    """Not http elsewhere, nor another private network, nor another port."""
    with pytest.raises(UsageError):
        target(text, loopback=True)


def test_other_ports_where_a_profile_names_them() -> None:
    """Then those, and no others; of this machine it is as it was."""
    ports = frozenset({443, 9443})
    assert target("https://example.org:9443/", ports=ports).port == 9443
    for text in ("https://example.org:8443/", "https://127.0.0.1:9443/", "http://example.org:9443/"):
        with pytest.raises(UsageError):
            target(text, ports=ports)


@given(st.text(max_size=60))
def test_it_never_fails_otherwise(text: str) -> None:
    """Any text is a URL or is refused with a reason."""
    for written in (text, f"https://{text}", f"https://example.org/{text}"):
        try:
            assert target(written).url.isascii()
        except UsageError as refused:
            assert refused.hint


PIECES = (
    *(
        "https://",
        "http://",
        "https:",
        "//",
        "/",
        "\\",
        "@",
        ":",
        "#",
        "?",
        ";",
        "&",
        ".",
        "%",
        "%2f",
        "%00",
        "%40",
        " ",
    ),
    *("127.0.0.1", "10.0.0.1", "[::1]", "[", "]", "localhost", "example.org", "93.184.216.34", "0x7f.1", "2130706433"),
    *(
        "443",
        "8443",
        "22",
        "\t",
        "\n",
        "\r",
        "\x00",
        "。",
        "／",
        "＠",
        "：",
        "①",
        "ß",
        "\u200b",
        "\u00ad",
        "x",
        "-",
        "_",
    ),
)


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@example("//127.0.0.1/")
@settings(max_examples=500)
def test_other_readers_see_the_same_host(rest: str) -> None:
    """Of what is taken: Python's own reader, yarl and httpx call the host and the port that were checked."""
    try:
        found = target(f"https://{rest}")
    except UsageError:
        return
    parts = urlsplit(found.url)
    assert (parts.scheme, parts.hostname, parts.port or 443, parts.username) == ("https", found.host, found.port, None)
    assert (yarl.URL(found.url).raw_host, yarl.URL(found.url).port) == (found.host, found.port)
    assert (httpx.URL(found.url).raw_host.decode(), httpx.URL(found.url).port or 443) == (found.host, found.port)
    if rest.isascii():  # as it was written, too; of other scripts each reader makes something of its own
        assert httpx.URL(f"https://{rest}").raw_host.decode().removesuffix(".") == found.host


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.org/s3cr3t?k=v", "example.org"),
        ("HTTPS://Example.ORG.:8443", "example.org"),
        ("http://10.0.0.1/x", "10.0.0.1"),
        ("https://[2001:db8::1]:443/x", "2001:db8::1"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://user:pw@example.org/", "(no host)"),
        ("s3cr3t", "(no host)"),
    ],
)
def test_what_may_be_shown_of_a_stored_url(url: str, host: str) -> None:
    """Its host and nothing else, whoever wrote it there; nothing of what cannot be read."""
    assert host_of(url) == host
