"""What both chains hold, as people understand it: who published, granted, read and took back, and when.

Reads the follower's copy through the SDK. Follows docs/spec/portal.md, section "The chains".
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from panachain.portal.pages import Page

router = APIRouter()
PAGES: Final[tuple[Page, ...]] = ()
