"""Time-stamping authorities, as a policy has them: who they are, and whose certificates count.

What they answer is checked where the library for it may be asked for (`ledger.timestamps`); here
is only what a policy says, so that it can be read and compared without that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from counterfoil.core.canonical import JsonValue
from counterfoil.core.principals import check_distinct, check_name, check_text
from counterfoil.core.text import shown
from counterfoil.core.toml import Table, format_key, format_value
from counterfoil.errors import FormatError

MAX_AUTHORITIES = 8
"""Authorities of a policy: each is asked about every checkpoint that is stamped."""

MAX_ROOTS = 8
"""Root certificates of an authority: enough for one that changes them."""

MAX_ROOT_CHARACTERS = 16_384
"""Longest text of all root certificates of an authority, PEM."""

MAX_AUTHORITY_URL_CHARACTERS = 500
"""Longest address of an authority."""

# Host in lower case, port, then any path and query without spaces and fragments.
_URL = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?"
    r"(?:/[!-\"$-~]*)?"
)
_POLICY_ID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,19})){1,30}")


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority that says when something existed (RFC 3161).

    Args:
        name: Its name in the policy; also that of a folder.
        operator: The organisation that runs it.
        root: Certificates that its own leads to, PEM, one after another.
        url: Where it is asked; empty if the log does not ask it.
        policies: Object identifiers of the authority's own policies that count; empty for any.
    """

    name: str
    operator: str
    root: str
    url: str = ""
    policies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "authority")
        check_text(self.operator, "operator")
        if "/" in self.name or self.name.startswith("."):
            raise FormatError(
                f"{shown(self.name)} cannot be the name of an authority",
                hint="Its stamps lie in a folder of that name: no /, and no dot at its beginning.",
            )
        if self.url and (
            len(self.url) > MAX_AUTHORITY_URL_CHARACTERS or not _URL.fullmatch(self.url)
        ):
            raise FormatError(
                f"{shown(self.url)} is not the address of an authority",
                hint="Write https://host/path, the host in lower case.",
            )
        check_distinct(self.policies, "policy of an authority")
        for one in self.policies:
            if not _POLICY_ID.fullmatch(one):
                raise FormatError(
                    f"{shown(one)} is no object identifier", hint="Write it like 1.3.6.1.4.1.1."
                )
        object.__setattr__(self, "root", _read_roots(self.root, self.name))

    @classmethod
    def from_table(cls, table: Table) -> Authority:
        """Read one `[[authority]]`."""
        table.only("name", "operator", "root", "url", "policies")
        return cls(
            table.text("name"),
            table.text("operator"),
            table.text("root"),
            table.text("url", ""),
            table.texts("policies"),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "name": self.name,
            "operator": self.operator,
            "url": self.url,
            "policies": list(self.policies),
            "root": self.root,
        }


def format_authority(authority: Authority) -> str:
    """Write one `[[authority]]`, its certificates as lines that can be compared."""
    form = authority.to_json()
    del form["root"]
    pairs = [f"{format_key(key)} = {format_value(value)}" for key, value in form.items()]
    return "\n".join(["[[authority]]", *pairs, f'root = """\n{authority.root}"""'])


def _read_roots(text: str, name: str) -> str:
    """Bring certificates into the one form that a policy's digest covers.

    Raises:
        FormatError: these are not certificates that others can lead to.
    """
    # Costs more than everything else here, and most policies have none.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    try:
        roots = x509.load_pem_x509_certificates(text.encode()) if _is_short(text) else []
        pems = [root.public_bytes(Encoding.PEM).decode() for root in roots]
        is_root = [
            root.subject == root.issuer
            and any(
                isinstance(one.value, x509.BasicConstraints) and one.value.ca
                for one in root.extensions
            )
            for root in roots
        ]
    except (
        ValueError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ):
        pems, is_root = [], []
    if not 1 <= len(set(pems)) == len(pems) <= MAX_ROOTS or not all(is_root):
        raise FormatError(
            f"the authority {name} has no root certificates that can be read",
            hint=f"root is 1 to {MAX_ROOTS} self-signed certificates of authorities, PEM, each "
            f"once, {MAX_ROOT_CHARACTERS} characters at most.",
        )
    return "".join(pems)


def _is_short(text: str) -> bool:
    return len(text) <= MAX_ROOT_CHARACTERS and text.isascii()
