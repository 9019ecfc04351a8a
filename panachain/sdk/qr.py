"""QR codes that stand within a page: no style, no script, no size of their own.

Never draws anything but what it is given. Follows ISO/IEC 18004 by segno.
"""

from __future__ import annotations

from io import BytesIO


def inline(text: str, *, border: int = 4, name: str | None = None) -> str:
    """Return a QR code as an SVG element.

    Args:
        text: what a camera reads.
        border: modules of white around it; four are what the standard asks for.
        name: of its CSS class; None for none.
    """
    # Imported here: only pages have codes.
    import segno

    drawn = BytesIO()
    # Level M: a fold or a stain of a tenth of the code costs nothing.
    segno.make(text, error="m", micro=False).save(
        drawn, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=border, svgclass=name, lineclass=None
    )
    return drawn.getvalue().decode().strip()
