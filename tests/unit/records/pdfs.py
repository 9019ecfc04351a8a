"""PDF files as small as they can be, made by hand."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def pdf(*pages: str, packed: bool = True, before: Sequence[str] = ()) -> bytes:
    """Return a PDF file with one line of text on each page; an empty one stands for a scan.

    Args:
        pages: their texts, in ASCII.
        packed: whether the text is compressed, as programs do.
        before: operators that each page begins with.
    """
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for text in pages:
        drawn = "\n".join([*before, f"BT /F1 12 Tf 20 20 Td ({text}) Tj ET" if text else "0 0 9 9 re f"]).encode()
        body = zlib.compress(drawn) if packed else drawn
        head = b"<</Length %d%b>>stream\n" % (len(body), b"/Filter/FlateDecode" if packed else b"")
        objects.append(head + body + b"\nendstream")
        kids.append(len(objects) + 1)
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>"
            % (len(objects))
        )
    objects[1] = b"<</Type/Pages/Count %d/Kids[%b]>>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids))
    file, places = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        *(len(objects) + 1, table, len(objects) + 1, start),
    )
    return bytes(file)
