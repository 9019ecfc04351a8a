"""A recovery share on paper: one page that prints on one sheet, with a QR code, the words, and what to do with them.

Never holds more than its own share, loads nothing from anywhere, and runs nothing: one policy forbids all but the
page's own style. Follows docs/spec/recovery.md, section "Pages".
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

from panachain.sdk.qr import inline
from panachain.sdk.recovery import RecoveryShare

if TYPE_CHECKING:
    from panachain.model.actors import Role

_STYLE: Final = (
    "@page{size:A4;margin:18mm}"
    "body{font:12pt/1.4 sans-serif;color:#000;background:#fff;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:1.2rem 0 .3rem}"
    "svg{width:62mm;height:62mm;display:block}"
    "ol{columns:3;font-family:monospace;font-size:13pt;padding-left:2.6rem}li{break-inside:avoid}"
    "code{font-family:monospace;overflow-wrap:anywhere}p{margin:.4rem 0}"
    ".box{border:2px solid #000;padding:.6rem .9rem;margin:.8rem 0}"
)
_POLICY: Final = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
_NAMES: Final = {
    "patient": "a patient",
    "hospital": "a hospital",
    "practitioner": "a practitioner",
    "researcher": "a researcher",
    "registrar": "a registrar",
}


def page(share: RecoveryShare, *, count: int, made: str) -> str:
    """Return the page of one share, whole HTML.

    Args:
        share: with whose it is.
        count: how many shares its set has.
        made: the day, as people write it.

    Raises:
        ShareError: the share doesn't say whose it is.
    """
    text = share.reveal()
    policy = _POLICY.format(base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode())
    rows = "".join(f"<li>{escape(word)}</li>" for word in share.words())
    title = f"Recovery share {share.number} of {count}"
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>PanaChain: {title}</h1>\n"
        f"<p>Any {share.threshold} of these {count} shares together restore the key of {_who(share.role)},"
        f" <code>{escape(share.handle)}</code>. Fewer than {share.threshold} tell nothing of it.</p>\n"
        '<p class="box"><strong>Keep this page apart from the others.</strong> Whoever brings'
        f" {share.threshold} of them together can read all that this key opens. Photograph it with nothing that is on"
        " the Internet. Nobody who supports PanaChain ever asks for it.</p>\n"
        f"<h2>The 33 words</h2>\n<ol>{rows}</ol>\n"
        f"<h2>The same for a camera, and what it reads</h2>\n{inline(text)}\n<p><code>{escape(text)}</code></p>\n"
        "<h2>To restore</h2>\n"
        "<p>On a computer with PanaChain and the network's file: <code>panachain restore</code>. It asks for"
        f" {share.threshold} shares, one after the other: type the 33 words, or paste what the camera read. It checks"
        " that they make the key of the account below.</p>\n"
        f"<p>Account: <code>{escape(share.address or '')}</code><br>Set: <code>{escape(share.set)}</code>, made on"
        f" {escape(made)}. The shares of one set begin with the same two words.</p>\n"
        "<p>Every half a year: <code>panachain recovery test</code> says whether they still fit, and keeps none.</p>\n"
        "</body></html>\n"
    )


def _who(role: Role | None) -> str:
    return _NAMES.get(role.value if role else "", "an actor")
