"""Addresses by channel, brought to the one form in which they are stored and compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from notifyctl.core.errors import UsageError
from notifyctl.core.mailbox import bare_address
from notifyctl.core.model import Channel
from notifyctl.core.patterns import pattern

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

TOKEN_MAX = 1_024
_HIDDEN_HINT = "addresses are shown in full to an API key with the scope users:read"

_EMAIL_MAX = 254
# A local part that is nobody's to judge (RFC 5322, 3.2.3), in lower case: some names are the same in any.
_PLAIN_EMAIL = pattern(r"((?=.{1,64}@)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@([a-z0-9.-]+)")

# A domain that is nobody's to judge either: to load who judges takes longer than most commands have to do.
_SURELY_DOMAIN = pattern(r"(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+(?:com|org|net|info|[a-z][a-z])")
_SURELY_SHORT = 60
_FOR_THE_EYE = pattern(r"\(0\)|[^0-9+]")  # (0) is dialled without the country code alone
_DOTS = pattern("[.\u3002\uff0e\uff61]")  # IDNA takes each for a dot (RFC 3490, 3.1)
_ENDING = pattern(r"[\s.]+\Z")  # blanks and dots, in whatever order they stand there
_OURS = pattern(r"v1\.[a-z0-9]{1,6}\.|#[0-9]+\.")  # what is sealed (`core.sealing`), and what finds it
_DIALLED = pattern(r"\+[0-9][0-9 ()./\u00a0-]*", re.ASCII)


def normalised(channel: Channel, address: str) -> str:
    """Return the address as it is stored on that channel. Raises UsageError for one that cannot be meant."""
    return _BY_CHANNEL[channel](address)


def meant(channel: Channel, address: str) -> str:
    """Return the stored form of whom an operator means: of a mailbox (`Anna <anna@example.org>`) that of its address.

    Raises UsageError for one that cannot be meant.
    """
    return normalised(channel, bare_address(address) if channel is Channel.EMAIL else address)


def email(address: str) -> str:
    """Return an e-mail address: its domain in lower case and in Unicode, the local part as it was given.

    Only the form is looked at, nothing is asked of the network. `example.org` and the like and everything below `.test`
    (RFC 2606) pass, because test systems use them; the names that no provider can deliver to (`.local`, `.invalid`,
    `.onion`) do not. Raises UsageError.
    """
    text = address.strip()
    plain = _PLAIN_EMAIL.fullmatch(text)
    if plain is not None and len(plain[2]) <= _SURELY_SHORT and _SURELY_DOMAIN.fullmatch(plain[2]):
        return text
    _refuse_outline(text)
    from email_validator import EmailNotValidError

    try:
        if plain is not None and len(text) <= _EMAIL_MAX and "xn--" not in text:
            return f"{plain[1]}@{_domain(plain[2])}"
        return _validated(text).normalized
    except EmailNotValidError as error:
        raise UsageError(f"{_shown(address)} is no e-mail address: {_sentence(error)}", _EMAIL_HINT) from error


@lru_cache(1_000)
def _domain(domain: str) -> str:
    """Return a domain as it is stored: of many addresses, most are at the same few."""
    return str(_validated(f"a@{domain}").domain)


def _validated(text: str) -> ValidatedEmail:
    from email_validator import validate_email

    return validate_email(text, check_deliverability=False, test_environment=True, strict=True)


def phone(address: str) -> str:
    """Return a telephone number in E.164: `+`, country code, number; at most 15 digits.

    A number has to be *possible* (a known country code and a length that is in use there), not *valid*: the ranges in
    use change faster than the library that lists them, and fictional or test numbers are in none of them. Raises
    UsageError.
    """
    from phonenumbers import (
        NumberParseException,
        PhoneNumberFormat,
        ValidationResult,
        format_number,
        is_possible_number_with_reason,
        parse,
    )

    text = address.strip()
    if not _DIALLED.fullmatch(text):
        raise UsageError(f"{_shown(address)} is no telephone number with a country code", _PHONE_HINT)
    try:
        number = parse(text)
    except NumberParseException as error:
        raise UsageError(f"{_shown(address)} is no telephone number", _PHONE_HINT) from error
    possible = is_possible_number_with_reason(number)
    if possible == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        raise UsageError(f"{_shown(address)} works within its area only: the area's code is missing", _PHONE_HINT)
    if possible != ValidationResult.IS_POSSIBLE:
        raise UsageError(f"{_shown(address)} is too short or too long for its country", _PHONE_HINT)
    return str(format_number(number, PhoneNumberFormat.E164))


def push_token(address: str) -> str:
    """Return a device's token as it was given: 1 to 1024 printable characters, none of them a blank."""
    text = address.strip()
    if not text:
        raise UsageError("the push token is empty")
    if len(text) > TOKEN_MAX:
        raise UsageError(f"the push token has {len(text)} characters, at most {TOKEN_MAX} are stored")
    _refuse_outline(text)
    if _OURS.match(text):
        raise UsageError(
            "the push token begins as what notifyctl seals and hashes does", "no service gives out such a one"
        )
    if not text.isprintable() or any(char.isspace() for char in text):
        raise UsageError("the push token has a blank or a control character in it")
    return text


def _refuse_outline(text: str) -> None:
    """Raise UsageError for what an address looks like to whoever may not see it."""
    if "***" in text:
        raise UsageError(f"{_shown(text)} is the outline of an address that was hidden", _HIDDEN_HINT)


def fold(channel: Channel, address: str) -> str:
    """Return the form by which addresses are compared: two that are read as the same one have the same. Never raises.

    E-mail: the address of a mailbox, in lower case, composed (NFC), the domain as A-labels (RFC 5890) without a dot at
    its end; a `+tag` and dots in the local part are kept, for who they are nobody but its server knows. A telephone
    number: its digits, without what is for the eye and without the network before it (`whatsapp:`). A push token is
    compared as it is.
    """
    return _FOLDS[channel](address.strip())


def _folded_email(written: str) -> str:
    address = bare_address(written)
    local, at, domain = address.rpartition("@")
    if not address.isascii():
        # Lower case as RFC 8265, 3.3 has it: case folding would make one person of two (straße and strasse).
        local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())
        domain = _a_labels(unicodedata.normalize("NFKC", domain))
    return _ENDING.sub("", f"{local}{at}{domain}".lower()).lstrip()


def _a_labels(domain: str) -> str:
    if domain.isascii():
        return domain
    return ".".join(map(_a_label, _DOTS.split(domain.lower())))


def _a_label(label: str) -> str:
    """Return a label in ASCII; also one that no registry takes any more but resolvers do (`i❤.ws`, RFC 5891, 5.4)."""
    if label.isascii():
        return label
    import idna  # only here: it brings its tables along

    try:
        return idna.encode(label, uts46=True).decode()
    except idna.IDNAError:
        return f"xn--{label.encode('punycode', errors='replace').decode('ascii')}"


def _folded_phone(address: str) -> str:
    number = address.rpartition(":")[2]
    return _FOR_THE_EYE.sub("", number) if _DIALLED.fullmatch(number) else address.lower()


def _folded_token(address: str) -> str:
    return address


_FOLDS: dict[Channel, Callable[[str], str]] = {
    Channel.EMAIL: _folded_email,
    Channel.SMS: _folded_phone,
    Channel.PUSH: _folded_token,
}
_BY_CHANNEL: dict[Channel, Callable[[str], str]] = {
    Channel.EMAIL: email,
    Channel.SMS: phone,
    Channel.PUSH: push_token,
}
_EMAIL_HINT = "like anna@example.org"
_PHONE_HINT = "like +14155552345"


def _shown(address: str) -> str:
    return repr(address if len(address) <= 80 else f"{address[:79]}…")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:1].lower() + text[1:]
