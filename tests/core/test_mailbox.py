"""Mailboxes as RFC 5322 has them: its own examples, what people write, and what is several or none."""

from __future__ import annotations

from email.utils import formataddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.mailbox import Mailbox, NoMailbox, bare_address, parse

# Whatever may be quoted: printable, and no blank at an end, which would be none of the name.
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' <>"\\@,()'), max_size=20).map(
    str.strip
)


@pytest.mark.parametrize(
    ("written", "address", "name"),
    [
        # RFC 5322, appendix A
        ("John Doe <jdoe@machine.example>", "jdoe@machine.example", "John Doe"),
        ('"Joe Q. Public" <john.q.public@example.com>', "john.q.public@example.com", "Joe Q. Public"),
        ("jdoe@example.org", "jdoe@example.org", ""),
        ("Who? <one@y.test>", "one@y.test", "Who?"),
        ("<boss@nil.test>", "boss@nil.test", ""),
        (r'"Giant; \"Big\" Box" <sysservices@example.net>', "sysservices@example.net", 'Giant; "Big" Box'),
        (r"Pete(A nice \) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test", "Pete"),
        ("Joe Q. Public <john.q.public@example.com>", "john.q.public@example.com", "Joe Q. Public"),
        # 3.2.4 and 3.4.1: quotes and quoted pairs are no part of what they quote
        (r'"A <a@b> \\ \"B\"" <c@d.example>', "c@d.example", r'A <a@b> \ "B"'),
        ('"a  b" <c@d.example>', "c@d.example", "a  b"),
        ('"anna"@example.org', "anna@example.org", ""),
        (r'"\a\n\na"@example.org', "anna@example.org", ""),
        ('"john doe"@example.org', '"john doe"@example.org', ""),
        (r'"a\"b"@example.org', r'"a\"b"@example.org', ""),
        ("jdoe@[192.0.2.1]", "jdoe@[192.0.2.1]", ""),
        ("jdoe@[IPv6:2001:db8::1]", "jdoe@[IPv6:2001:db8::1]", ""),
        ("(one (in another)) anna @ example.org (two)", "anna@example.org", ""),
        # RFC 6532, and what people write
        ("Jürgen Groß <jürgen@bücher.example>", "jürgen@bücher.example", "Jürgen Groß"),
        ("O'Neil <o'neil@example.org>", "o'neil@example.org", "O'Neil"),
        ("[List] News <news@example.org>", "news@example.org", "[List] News"),
        ("Bob, the Second <bob@example.org>", "bob@example.org", "Bob, the Second"),
        ("  Anna<anna@example.org>\n", "anna@example.org", "Anna"),
    ],
)
def test_one_mailbox(written: str, address: str, name: str) -> None:
    """Address and name are found as the standard reads them, whatever stands in quotes or comments."""
    assert parse(written) == Mailbox(address, name)
    assert bare_address(written) == address or written.strip() == address != written


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "anna", "anna@", "@example.org", "<>", "Anna <>", "a@@b", "a@b@c", "a b@example.org"),
        *("a..b@example.org", ".a@example.org", "a.@example.org", "a@b..c", "a@b.", "a@ex ample.org", "a@[]"),
        *(
            "Anna <a@b.c",
            "Anna a@b.c>",
            "<a@b.c> Anna",
            "<<a@b.c>>",
            "<a@b.c> <d@e.f>",
            '"Anna <a@b.c>',
            "Anna (x <a@b.c>",
        ),
        *("a@b.c, d@e.f", "a@b.c,d", "a@b.c; d@e.f", "a@b.c, D <d@e.f>", "a@b.c <d@e.f>", "a@b.c <a@b.c>"),
        *(
            "Anna\r\nBcc: x <a@b.c>",
            "Anna\0 <a@b.c>",
            '"An\tna" <a@b.c>',
            '"An\u2028na" <a@b.c>',
            "a\u00a0b@c.d",
            "a\\b@c.d",
        ),
        *("<@route.test:a@b.c>", "Friends: a@b.c;", "undisclosed-recipients:;", '"a" b@c.d', '"a".b c@d.e'),
    ],
)
def test_no_mailbox(text: str) -> None:
    """What is none, or several, is refused: nobody is written to whom a sloppier reading would have found in it."""
    with pytest.raises(NoMailbox):
        parse(text)
    assert bare_address(text) == text


@given(NAMES, st.from_regex(r"[a-z0-9'+=/-]{1,10}(\.[a-z0-9]{1,5})?@[a-z0-9-]{1,10}\.(test|example)", fullmatch=True))
def test_names_survive_being_written(name: str, address: str) -> None:
    """Whatever name the standard library writes before an address is found again, letter for letter."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'"{quoted}" <{address}>') == Mailbox(address, name)
    if name.isascii():
        assert parse(formataddr((name, address))) == Mailbox(address, name)


@given(st.text(max_size=40) | st.text('<>"\\@,() .ab[]', max_size=20))
def test_any_text_is_a_mailbox_or_none(text: str) -> None:
    """Every text has an answer, and the address of a mailbox is its own address."""
    try:
        found = parse(text)
    except NoMailbox:
        return
    assert parse(found.address) == Mailbox(found.address)
