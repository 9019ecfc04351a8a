"""Pictures of every page of the portal into docs/img/, as people see them after the story that the demo tells.

    .venv/bin/python scripts/screenshots.py [--only ROLE] [--language de] [--into FOLDER]

Needs the system's Chromium and what `./pana setup dev` installs. The world is the tests' twin, in which time stands
still and keys are always the same: a page that didn't change gives the same picture. Each page is taken at 1,280 px
and at 390 px, the width of a usual phone, and cut where it gets longer than a person scrolls.
"""
