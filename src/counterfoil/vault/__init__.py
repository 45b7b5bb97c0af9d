"""The vault: payloads of streams, encrypted under keys that can be destroyed.

seal       the crypto envelope of a record         keystore   where the wrapping keys lie
store      a stream's records, written and read    view       the reading half of it
subjects   which records are about whom            epoch      when wrapping keys change
rotation   changing them                           hold       the check that nothing must be kept
erase      destroying records, and recording it    intent     an erasure under way
wipe       overwriting a file                      plan       that of a person, in all streams
folder     streams in folders                      carry      all of it from place to place
files      salts and models, plain or encrypted
"""

from __future__ import annotations

from counterfoil.core.retention import REG_B, Hold, RetentionRule
from counterfoil.vault.erase import (
    ERASURE_FIELDS,
    Eraser,
    ErasureCertificate,
    ErasureRequest,
    read_certificate,
    request_digest,
)
from counterfoil.vault.hold import HoldRule, check_hold
from counterfoil.vault.keystore import FileKeyStore, KeyStore
from counterfoil.vault.store import StreamStore

__all__ = [
    "ERASURE_FIELDS",
    "REG_B",
    "Eraser",
    "ErasureCertificate",
    "ErasureRequest",
    "FileKeyStore",
    "Hold",
    "HoldRule",
    "KeyStore",
    "RetentionRule",
    "StreamStore",
    "check_hold",
    "read_certificate",
    "request_digest",
]
